"""A service's process stops in the middle of everything: it accepts connections and never answers."""

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
class Hang:
    """SIGSTOP, and SIGCONT on exit."""

    name: str = "hang"
    mechanism: Mechanism = "hung"
    description: str = "its process hangs: it takes requests and never answers"
    targets: tuple[str, ...] = ("catalogue", "cart", "orders", "payments", "inventory", "shipping", "recommendations")

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Stop the instance; let it go on at exit, unless it was replaced."""
        state = target.service(service)
        with lease(target, service, "resume", bound_s, if_instance=state.instance):
            os.kill(state.pid, signal.SIGSTOP)
            try:
                yield
            finally:
                target.act(service, "resume")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.ok or target.service(service).state != "stopped":
            return ""
        return f"process {before.state.pid} is stopped, and a request ends in {sample.reason or sample.status}"
