"""The fault `hang`."""

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
class Hang:
    """The service's process stops (SIGSTOP): it accepts connections and never answers.

    SIGCONT on exit.
    """

    name: str = "hang"
    mechanism: Mechanism = "hung"
    description: str = "its process hangs: it takes requests and never answers"
    needs: frozenset[str] = frozenset({"resume", LEASE, HOST})

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Stop the instance; let it go on at exit, unless it was replaced."""
        instance, pid = target.status(service).instance, host_of(target, service).pid
        with leased(target, Lease(service=service, verb="resume", after_s=bound_s, if_instance=instance)):
            os.kill(pid, signal.SIGSTOP)
            try:
                yield
            finally:
                do(target, service, "resume")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.ok or target.status(service).state != "stopped":
            return ""
        return f"instance {before.state.instance} is stopped, and a request ends in {sample.reason or sample.status}"
