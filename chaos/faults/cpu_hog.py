"""The fault `cpu_hog`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault import Baseline, do, host_of
from watchkeeper.target import HOST, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

# Harm is a request that takes this many times the median of before, and this much longer at least.
SLOWER_TIMES = 2.5
SLOWER_BY_S = 0.03
# A busy loop can run at all looks but those that the machine's other work takes away.
LEAST_SHARE = 0.7
LOOKS = 12
LOOK_EVERY_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuHog:
    """A runaway loop inside the service's process takes the interpreter from its requests.

    `threads` busy threads for at most the bound; the process ends them by itself.
    """

    threads: int = 4
    name: str = "cpu_hog"
    held_as: str = "cpu"
    mechanism: Mechanism = "cpu"
    description: str = "a runaway loop burns the processor inside it"
    needs: frozenset[str] = frozenset({"burn", "restart", HOST})

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Start the loop; on exit replace the instance, unless somebody did so already."""
        instance = target.status(service).instance
        do(target, service, "burn", seconds=bound_s, threads=self.threads)
        try:
            yield
        finally:
            if target.status(service).instance == instance:
                do(target, service, "restart")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.seconds < max(SLOWER_TIMES * before.median_s, before.median_s + SLOWER_BY_S):
            return ""
        share = _wants_processor(host_of(target, service).pid)
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
