"""One experiment: a steady-state hypothesis, a fault, its proof, a rollback, and a journal that is always kept.

    validate ─► steady state? ─► inject ─► took effect? ─► during ─► rollback ─► steady state again? ─► journal
                     │ no: nothing is touched        (the hypothesis is watched continuously)
                     ▼
                  refused

The words are chaos engineering's (experiment, hypothesis, probe, tolerance, action, rollback, journal). The
action here is a `Fault`, whose revert is its own rollback: it runs whatever happens in between.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from chaos.blast_radius import BlastRadius, reserved
from chaos.fault import Effect, Fault, is_held, measure_baseline, prove, services_for, take_sample, why_not
from chaos.record import Journal, Records, Status
from watchkeeper.errors import ChaosError, OutOfReachError, TargetError
from watchkeeper.target import PROBE, Experience, Target, own_name

# The longest that anybody has to wait for the end of a fault whose injector was killed.
LONGEST_BOUND_S = 300.0
PROOF_AND_REVERT_S = 30.0  # added to the bound of a fault: the proof takes as long on a busy machine
STEADY_WITHIN_S = 15.0  # how long the target may take to be steady, before and after
# A span counts as without harm when probes leave their tolerance for so many seconds: one slow page is no incident.
HARMED_SECONDS_AT_MOST = 3
LOOK_EVERY_S = 1.0  # the target measures what customers see once a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A number read from outside, and the tolerance within which the system counts as well."""

    name: str
    measure: Callable[[Experience], float]
    lowest: float
    highest: float
    unit: str = ""


def experience(target: Target) -> Experience:
    """What customers see; where the target does not measure that, what one probe of each service sees."""
    if (measured := target.experience()) is not None:
        return measured
    services = target.services().values()
    probed = [status for status in services if PROBE in status.capabilities]
    # Where nothing can be asked, such as workers without a port, that a process runs is all that is known.
    samples = [take_sample(target, status) for status in probed or services]
    if not samples:
        raise TargetError(f"{target.name} has no services")
    slowest_s = max(sample.seconds for sample in samples)
    failed = sum(not sample.ok for sample in samples)
    return Experience(sent=len(samples), failed=failed, p95_ms=1000 * slowest_s)


def _failed_share(seen: Experience) -> float:
    return seen.failed / max(seen.sent, 1)


def _p95_ms(seen: Experience) -> float:
    return seen.p95_ms


# What customers may expect: hardly any failure, and pages within a second and a half.
STEADY_STATE = (
    Probe(name="share of failed requests", measure=_failed_share, lowest=0.0, highest=0.2),
    Probe(name="p95 of customers' requests", measure=_p95_ms, lowest=0.0, highest=1500.0, unit="ms"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A fault for one service, for at most `bound_s` seconds. Before and after, it waits for the steady state."""

    fault: Fault
    service: str
    bound_s: float
    hypothesis: tuple[Probe, ...] = STEADY_STATE
    steady_within_s: float = STEADY_WITHIN_S

    @property
    def title(self) -> str:
        return f"{self.fault.name} in {self.service}: {self.fault.description}"

    @property
    def blast_radius(self) -> str:
        return f"{self.service} and what calls it, for at most {self.bound_s:g} s"


def validate(experiment: Experiment, target: Target) -> None:
    """Raises ChaosError, before anything is touched, unless the experiment can run as it is written."""
    services = services_for(experiment.fault, target)
    try:
        status = target.status(experiment.service)
    except OutOfReachError as error:
        raise ChaosError(f"{error.message}. It can be applied to: {', '.join(services) or 'none'}") from error
    if reason := why_not(experiment.fault, status):
        raise ChaosError(
            f"{experiment.fault.name} cannot be done to {experiment.service}: {reason}. "
            f"It can be applied to: {', '.join(services) or 'none'}"
        )
    longest_s = LONGEST_BOUND_S
    if is_held(experiment.fault, status) and status.longest_fault_s:
        longest_s = min(longest_s, status.longest_fault_s)
    if not 0 < experiment.bound_s <= longest_s:
        raise ChaosError(
            f"{experiment.service} may be broken for at most {longest_s:g} s, and this experiment asks for "
            f"{experiment.bound_s:g} s, with the time for the proof and the end. Choose a shorter one."
        )
    if status.state != "running":
        raise ChaosError(f"{experiment.service} is {status.state}, not running. Repair it before you break it.")


def await_steady(experiment: Experiment, target: Target, within_s: float) -> str:
    """Wait until every probe holds twice in a row; returns what still deviates, empty when all is well."""
    deadline = time.monotonic() + within_s
    steady_probes = 0
    while True:
        off = deviating(experiment.hypothesis, target)
        steady_probes = 0 if off else steady_probes + 1
        if steady_probes >= 2 or time.monotonic() > deadline:
            return off
        time.sleep(LOOK_EVERY_S)


def deviating(hypothesis: Iterable[Probe], target: Target) -> str:
    """Describe the first probe outside its tolerance; empty when all hold."""
    for probe, value in _outside(hypothesis, target):
        return f"{probe.name} is {value:.2f}{probe.unit}, beyond {probe.highest:g}{probe.unit}"
    return ""


def _outside(hypothesis: Iterable[Probe], target: Target) -> Iterator[tuple[Probe, float]]:
    """The probes outside their tolerance by one look, each with its number; infinite if the target does not answer."""
    try:
        seen = experience(target)
    except TargetError:
        seen = None
    for probe in hypothesis:
        value = math.inf if seen is None else probe.measure(seen)
        if not probe.lowest <= value <= probe.highest:
            yield probe, value


def run(
    experiment: Experiment,
    target: Target,
    records: Records,
    during: Callable[[Effect], None],
) -> Journal:
    """Run it once. `during` is called while the fault holds, with the proof of its effect.

    Raises:
        ChaosError: refused (see `validate`), the steady state did not hold before, or another experiment runs.
    """
    validate(experiment, target)
    with alone(target, experiment.service):
        start = time.time()
        if off := await_steady(experiment, target, experiment.steady_within_s):
            raise ChaosError(f"the target is not steady, so nothing was broken: {off}")
        return break_and_revert(experiment, target, records, during, start=start)


def break_and_revert(
    experiment: Experiment,
    target: Target,
    records: Records,
    during: Callable[[Effect], None],
    *,
    start: float,
    sealed: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> Journal:
    """Inject, prove, hold while `during` lasts, revert, and wait for the steady state: `run` without what comes before.

    `records` keeps what is true as it is known: before anything is broken (if it raises then, nothing is), when the
    effect is proved, and at the end. The proof ends early where `give_up` says so. `during` may return at any time; a
    fault that somebody else repaired in the meantime is not reverted twice.

    Raises:
        ChaosError: the service fails already.
    """
    before = measure_baseline(target, experiment.service)
    if not before.healthy:
        raise ChaosError(f"{experiment.service} fails already, so nothing was broken")
    injected_at = time.time()
    ends_by = injected_at + experiment.bound_s
    journal = Journal(
        id=uuid.uuid4().hex,
        title=experiment.title,
        fault=experiment.fault.name,
        target=experiment.service,
        blast_radius=experiment.blast_radius,
        status="cut short",
        start=start,
        injected_at=injected_at,
        effect=Effect(proved=False, since=0.0, detail="not probed"),
        reverted_at=ends_by,
        end=ends_by,
        deviations=(),
        steady_again=False,
        sealed=sealed,
    )
    status: Status = "interrupted"
    deviations: dict[str, None] = {}
    steady = False
    records.keep(journal, experiment.fault.mechanism)
    try:
        with (
            experiment.fault.inject(target, experiment.service, experiment.bound_s),
            _watching(experiment, target, deviations),
        ):
            effect = prove(experiment.fault, target, experiment.service, before, give_up=give_up)
            journal = replace(journal, effect=effect)
            records.keep(journal, experiment.fault.mechanism)
            during(effect)
        status = "completed" if effect.proved else "no effect"
    finally:
        reverted_at = time.time()
        try:
            # Somebody who interrupts wants it to end: look once, don't wait for calm.
            patience_s = 0.0 if status == "interrupted" else experiment.steady_within_s
            steady = not await_steady(experiment, target, patience_s)
        finally:
            if status == "completed" and not steady:
                status = "not recovered"
            journal = replace(
                journal,
                status=status,
                reverted_at=reverted_at,
                end=time.time(),
                deviations=tuple(deviations),
                steady_again=steady,
            )
            records.keep(journal, experiment.fault.mechanism)
    return journal


def alone(target: Target, *services: str) -> AbstractContextManager[None]:
    """One experiment at a time for each target and service: two faults at once prove nothing about either."""
    return reserved(
        BlastRadius(targets=frozenset({target.name}), broken=frozenset(map(own_name, services)), system=target.name)
    )


@contextmanager
def _watching(experiment: Experiment, target: Target, deviations: dict[str, None]) -> Iterator[None]:
    """Watch the hypothesis once a second while the fault holds; note which probes deviated."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_EVERY_S):
            for probe, _ in _outside(experiment.hypothesis, target):
                deviations[probe.name] = None

    thread = threading.Thread(target=watch, name="hypothesis", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
