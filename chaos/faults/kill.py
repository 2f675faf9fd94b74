"""A service's process is killed, and nobody starts it again by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.fault import Baseline, lease
from chaos.targets.shop import ProbeSample, Target
from watchkeeper.vocabulary import Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """SIGKILL: no farewell, no last telemetry."""

    name: str = "kill"
    mechanism: Mechanism = "killed"
    description: str = "its process is killed and does not come back by itself"
    targets: tuple[str, ...] = ("catalogue", "cart", "orders", "payments", "inventory", "shipping", "recommendations")

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Kill the instance; start a new one on exit, unless somebody did so already."""
        with lease(target, service, "start", bound_s):
            os.kill(target.service(service).pid, signal.SIGKILL)
            try:
                yield
            finally:
                target.act(service, "start")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.ok or target.service(service).state != "exited":
            return ""
        return f"process {before.state.pid} is gone, and a request ends in {sample.reason or sample.status}"
