"""What every fault is: one context manager that breaks and reverts, and one probe that proves the harm.

A fault is bounded in time even if the injector is killed: the target holds a lease, or the broken part ends by itself.
The proof comes from outside, from real requests and the process's state, compared with what the same probe saw before.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from watchkeeper.errors import ChaosError
from watchkeeper.target import FAULT, PROBE, HostAccess, Lease, ProbeSample, ServiceStatus, Target
from watchkeeper.vocabulary import Mechanism

BASELINE_REQUESTS = 5  # their median is what a request took before
PROOF_WITHIN_S = 12.0  # twice the time-out of a probe for each request that is needed, and some more
FEWEST_PROBES = 24  # before a fault counts as without effect: on a busy machine they take longer than the time above
PROBE_EVERY_S = 0.15  # about the rate at which a service is asked by its callers
# A service counts as healthy before the fault when all but one of the requests above succeed.
TOLERATED_FAILURES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The target before: its state, and its median answer time in seconds."""

    state: ServiceStatus
    median_s: float
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the probe showed: whether the harm is real, since when (Unix seconds), and in which words.

    `dependency` is what the service is cut off from, where the fault does that: whoever names it is right, too.
    """

    proved: bool
    since: float
    detail: str
    dependency: str = ""


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
    sealed: bool = False
    dependency: str = ""


class Fault(Protocol):
    """One way to break a service.

    Where a target holds a fault of this name by itself, as an agent does, that is used instead (see chaos.on_host). A
    fault with another name there has it as `held_as`. One that cuts the service off from something that itself goes on
    gives its name by `dependency_of`.
    """

    @property
    def name(self) -> str:
        """The name of its entry point."""
        ...

    @property
    def mechanism(self) -> Mechanism: ...

    @property
    def description(self) -> str:
        """One sentence for a human."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What the target must be able to do for the service: verbs, `lease`, `host` (see watchkeeper.target)."""
        ...

    def inject(self, target: Target, service: str, bound_s: float) -> AbstractContextManager[None]:
        """Break on entry, revert on exit; at most `bound_s` seconds even if the exit never comes."""
        ...

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        """The harm that one probe request and the process's state show, in words; empty: none."""
        ...


def held_name(fault: Fault) -> str:
    """What a target calls the fault that holds it by itself."""
    return str(getattr(fault, "held_as", "") or fault.name)


def cut_off_from(fault: Fault, service: str) -> str:
    """What a fault that holds now cuts the service off from; empty: the service itself is broken."""
    dependency_of = getattr(fault, "dependency_of", None)
    return str(dependency_of(service)) if dependency_of else ""


def is_held(fault: Fault, status: ServiceStatus) -> bool:
    """Whether the service's target holds the fault by itself."""
    return FAULT + held_name(fault) in status.capabilities


def why_not(fault: Fault, status: ServiceStatus) -> str:
    """Why the fault cannot be done to a service, in words; empty: it can."""
    if not is_held(fault, status) and (lacking := sorted(fault.needs - status.capabilities)):
        if reason := status.lacks.get(held_name(fault)):
            return f"its target cannot do it now: {reason}"
        ways = dict.fromkeys((FAULT + held_name(fault), ", ".join(lacking)))
        return f"its target does not offer {' or '.join(ways)}"
    return "" if status.may_break else "its owner has not opted in to experiments (may_break)"


def services_for(fault: Fault, target: Target) -> tuple[str, ...]:
    """The services that opted in to experiments and have what the fault needs, in alphabetical order."""
    return tuple(sorted(name for name, status in target.services().items() if not why_not(fault, status)))


def do(target: Target, service: str, verb: str, **arguments: object) -> str:
    """Have the target do a verb, once. Experiments are not resumed, so each call has a key of its own."""
    return target.act(service, verb, key=f"chaos-{uuid.uuid4().hex}", arguments=arguments)


def host_of(target: Target, service: str) -> HostAccess:
    """Where the service runs on this machine. Raises ChaosError where it runs elsewhere."""
    host = target.status(service).host
    if host is None:
        raise ChaosError(f"{service} does not run on this machine, or does not run at all")
    return host


def measure_baseline(target: Target, service: str) -> Baseline:
    """Ask the service a few times while it should be well."""
    state = target.status(service)
    samples = [take_sample(target, state) for _ in range(BASELINE_REQUESTS)]
    return Baseline(
        state=state,
        median_s=statistics.median(sample.seconds for sample in samples),
        healthy=sum(sample.ok for sample in samples) >= BASELINE_REQUESTS - TOLERATED_FAILURES,
    )


def take_sample(target: Target, known: ServiceStatus) -> ProbeSample:
    """One probe request to a service as it is `known`; where it takes none, whether its process runs."""
    if PROBE in known.capabilities:
        return target.probe(known.service)
    at, state = time.time(), target.status(known.service).state
    runs = state == "running"
    return ProbeSample(at=at, seconds=0.0, status=200 if runs else 0, reason="" if runs else f"its process is {state}")


def prove(
    fault: Fault,
    target: Target,
    service: str,
    before: Baseline,
    *,
    needed: int = 3,
    give_up: Callable[[], bool] = lambda: False,
) -> Effect:
    """Probe until `needed` of the last `needed + 1` requests show harm; the first of them dates it.

    Gives up after `PROOF_WITHIN_S` and `FEWEST_PROBES`, whichever comes last.
    """
    deadline = time.monotonic() + PROOF_WITHIN_S
    seen: list[tuple[float, str]] = []
    while (time.monotonic() < deadline or len(seen) < FEWEST_PROBES) and not give_up():
        sample = take_sample(target, before.state)
        seen.append((sample.at, fault.harmed(target, service, before, sample)))
        recent = [(at, harm) for at, harm in seen[-needed - 1 :] if harm]
        if len(recent) >= needed:
            return Effect(
                proved=True, since=recent[0][0], detail=recent[-1][1], dependency=cut_off_from(fault, service)
            )
        time.sleep(PROBE_EVERY_S)
    words = seen[-1][1] if seen else ""
    return Effect(proved=False, since=0.0, detail=words or f"{len(seen)} probe requests showed no harm")


@contextmanager
def leased(target: Target, lease: Lease) -> Iterator[None]:
    """Have the target revert the fault after a time, in case we are not there to do it."""
    lease_id = target.lease(lease)
    try:
        yield
    finally:
        target.end_lease(lease_id)
