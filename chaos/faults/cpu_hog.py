"""A runaway loop inside a service's process takes the interpreter from its requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from chaos.faults.fault import Baseline
from chaos.target import ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

# A hog is nicer than its neighbours: on a busy machine it gets less than a core, and harms no less.
LEAST_CORES = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuHog:
    """`threads` busy threads for at most the bound; the process ends them by itself."""

    threads: int = 4
    name: str = "cpu_hog"
    mechanism: Mechanism = "cpu"
    says: str = "a runaway loop burns the processor inside it"
    targets: tuple[str, ...] = ("catalogue", "cart", "orders", "payments", "inventory", "shipping", "recommendations")

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Start the loop; on exit replace the instance, unless somebody did so already."""
        instance = target.service(service).instance
        target.burn(service, bound_s, self.threads)
        try:
            yield
        finally:
            if target.service(service).instance == instance:
                target.act(service, "restart")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        try:
            cores = psutil.Process(target.service(service).pid).cpu_percent(0.4) / 100
        except psutil.NoSuchProcess:
            return ""
        if cores < LEAST_CORES or sample.seconds < max(2.5 * before.median_s, before.median_s + 0.03):
            return ""
        return (
            f"it burns {cores:.1f} cores, and a request takes {sample.seconds * 1000:.0f} ms "
            f"instead of {before.median_s * 1000:.0f} ms"
        )
