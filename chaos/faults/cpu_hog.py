"""A runaway loop inside a service's process takes the interpreter from its requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault import Baseline
from chaos.targets.shop import ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

LEAST_SHARE = 0.7
LOOKS = 12
LOOK_EVERY_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuHog:
    """`threads` busy threads for at most the bound; the process ends them by itself."""

    threads: int = 4
    name: str = "cpu_hog"
    mechanism: Mechanism = "cpu"
    description: str = "a runaway loop burns the processor inside it"
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
        if sample.seconds < max(2.5 * before.median_s, before.median_s + 0.03):
            return ""
        share = _wants_processor(target.service(service).pid)
        if share < LEAST_SHARE:
            return ""
        return (
            f"it wants the processor {share:.0%} of the time, and a request takes {sample.seconds * 1000:.0f} ms "
            f"instead of {before.median_s * 1000:.0f} ms"
        )


def _wants_processor(pid: int) -> float:
    """The share of a few looks at which a thread of the process runs or could run.

    Unlike CPU time, this share is the same on an idle machine and on one that is too busy to give it much.
    """
    hits = 0
    for _ in range(LOOKS):
        hits += any(_runnable(stat) for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
        time.sleep(LOOK_EVERY_S)
    return hits / LOOKS


def _runnable(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "R"
    except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
        return False
