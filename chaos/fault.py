"""What every fault is: one context manager that breaks and reverts, and one probe that proves the harm.

A fault is bounded in time even if the injector is killed: the supervisor holds a lease, or the broken
part ends by itself. The proof comes from outside, from real requests and the process's state, compared
with what the same probe saw before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from chaos.targets.shop import ProbeSample, ServiceState, Target
from watchkeeper.vocabulary import Mechanism

BASELINE_REQUESTS = 5
PROOF_WITHIN_S = 12.0
FEWEST_PROBES = 24  # before a fault counts as without effect: on a busy machine they take longer than the time above
TRUTH_FILE = "chaos-truth.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The target before: its state, and its median answer time in seconds."""

    state: ServiceState
    median_s: float
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the probe found: whether the harm is real, since when (Unix seconds), and in which words."""

    proved: bool
    since: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The ground truth of one injection; one line of chaos-truth.jsonl.

    Of one that was `cut_short`, `ended_at` is when its fault ended by itself at the latest.
    """

    id: str = ""
    fault: str
    target: str
    mechanism: Mechanism
    injected_at: float
    effect_at: float
    took_effect: bool
    ended_at: float
    detail: str
    cut_short: bool = False


class Fault(Protocol):
    """One way to break a service."""

    @property
    def name(self) -> str: ...
    @property
    def mechanism(self) -> Mechanism: ...
    @property
    def description(self) -> str:
        """One sentence for a human."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Services that opted in to this fault: its declared blast radius is one of them."""
        ...

    def inject(self, target: Target, service: str, bound_s: float) -> AbstractContextManager[None]:
        """Break on entry, revert on exit; at most `bound_s` seconds even if the exit never comes."""
        ...

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        """The harm that one probe request and the process's state show, in words; empty: none."""
        ...


def measure_baseline(target: Target, service: str) -> Baseline:
    """Ask the service a few times while it should be well."""
    samples = [target.ask(service) for _ in range(BASELINE_REQUESTS)]
    return Baseline(
        state=target.service(service),
        median_s=statistics.median(sample.seconds for sample in samples),
        healthy=sum(sample.ok for sample in samples) >= BASELINE_REQUESTS - 1,
    )


def prove(
    fault: Fault,
    target: Target,
    service: str,
    before: Baseline,
    *,
    within_s: float = PROOF_WITHIN_S,
    needed: int = 3,
    give_up: Callable[[], bool] = lambda: False,
) -> Effect:
    """Probe until `needed` of the last `needed + 1` requests show harm; the first of them dates it.

    Gives up after `within_s` and `FEWEST_PROBES`, whichever comes last.
    """
    deadline = time.monotonic() + within_s
    seen: list[tuple[float, str]] = []
    while (time.monotonic() < deadline or len(seen) < FEWEST_PROBES) and not give_up():
        sample = target.ask(service)
        seen.append((sample.at, fault.harmed(target, service, before, sample)))
        recent = [(at, harm) for at, harm in seen[-needed - 1 :] if harm]
        if len(recent) >= needed:
            return Effect(proved=True, since=recent[0][0], detail=recent[-1][1])
        time.sleep(0.15)
    words = seen[-1][1] if seen else ""
    return Effect(proved=False, since=0.0, detail=words or f"{len(seen)} probe requests showed no harm")


@contextmanager
def lease(target: Target, service: str, verb: str, bound_s: float, *, if_instance: str = "") -> Iterator[None]:
    """Have the supervisor undo the fault after `bound_s`, in case we are not there to do it."""
    held = target.lease(service, verb, bound_s, if_instance=if_instance)
    try:
        yield
    finally:
        target.end_lease(held)
