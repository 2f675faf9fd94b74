"""The fault `kill`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.fault import Baseline, do, host_of, leased
from watchkeeper.target import HOST, LEASE, Lease, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The service's process is killed (SIGKILL), and nobody starts it again by itself.

    No last telemetry is sent.
    """

    name: str = "kill"
    mechanism: Mechanism = "killed"
    description: str = "its process is killed and does not come back by itself"
    needs: frozenset[str] = frozenset({"start", LEASE, HOST})

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Kill the instance; start a new one on exit, unless somebody did so already."""
        pid = host_of(target, service).pid
        with leased(target, Lease(service=service, verb="start", after_s=bound_s)):
            os.kill(pid, signal.SIGKILL)
            try:
                yield
            finally:
                do(target, service, "start")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.ok or target.status(service).state != "exited":
            return ""
        return f"instance {before.state.instance} is gone, and a request ends in {sample.reason or sample.status}"
