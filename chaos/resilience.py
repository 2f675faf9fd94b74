"""How a system bears the loss of a part: what callers did while their dependency was slow, failing or gone.

Pure. Each weakness is shown by experiments and carries one proposal; what held is listed beside it. The patterns are
those of M. Nygard, Release It! (2018), chapters 4 and 5: time-outs, circuit breakers, cascading failures, retry storms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chaos.calls import Observed, Phases, Traffic

Kind = Literal[
    "no time-out", "no fallback", "no circuit breaker", "no retry", "retry storm", "single point of failure", "cascade"
]
KINDS: Final[tuple[Kind, ...]] = (
    "single point of failure", "cascade", "retry storm", "no time-out", "no fallback", "no circuit breaker", "no retry",
)  # fmt: skip
FEWEST_CALLS: Final = 20  # before, for any statement about a caller
FAILS: Final = 0.2  # a share of calls that fail: a dependency that fails
MOSTLY: Final = 0.5
TOLERATED: Final = 0.1  # a service with more failures than that, beside those of before, suffers
NOTICED: Final = 0.05  # of a caller's own requests, for a statement about what it did with failed calls
PATIENT_S: Final = 5.0  # a call that waits longer has no time-out that a user would live to see
SLOW_S: Final = 0.5  # and at least four times as long as usual: a dependency that hangs or is slow
SLOWER: Final = 4.0
BREAKS_AFTER_S: Final = 20.0  # a circuit breaker would have opened by then
RETRIES: Final = 1.5  # calls for each request, as a multiple of before
ONCE: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """One weakness of a service, shown by experiments.

    Attributes:
        service: whose it is: the caller's; of a single point of failure and a cascade the broken service's.
        dependency: the service that was broken.
        shown: what the experiment showed, in a sentence with its numbers.
        proposal: what to do about it.
        weight: how bad, comparable within a kind only.
        experiments: their ids, the one that showed it best first.
    """

    kind: Kind
    service: str
    dependency: str
    shown: str
    proposal: str
    weight: float
    experiments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that a caller did right while its dependency was broken."""

    service: str
    dependency: str
    shown: str
    experiment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resilience:
    """The report: weaknesses by kind, the worst first, and what held. `seen` are the experiments that could be read."""

    weaknesses: tuple[Weakness, ...]
    held: tuple[Held, ...]
    seen: int


def resilience(observed: Iterable[Observed]) -> Resilience:
    """What these experiments show. The same weakness shown twice is one, with both experiments."""
    merged: dict[tuple[Kind, str, str], Weakness] = {}
    held: dict[tuple[str, str, str], Held] = {}
    count = 0
    for one in observed:
        count += bool(one.served)
        for weakness in _weaknesses(one):
            key = (weakness.kind, weakness.service, weakness.dependency)
            merged[key] = _worse(merged[key], weakness) if key in merged else weakness
        for good in _held(one):
            held[good.service, good.dependency, good.shown.split(" ")[0]] = good
    ranked = sorted(merged.values(), key=lambda one: (KINDS.index(one.kind), -one.weight, one.service, one.dependency))
    return Resilience(weaknesses=tuple(ranked), held=tuple(held[key] for key in sorted(held)), seen=count)


def _worse(known: Weakness, other: Weakness) -> Weakness:
    first, second = (known, other) if known.weight >= other.weight else (other, known)
    ids = tuple(dict.fromkeys((*first.experiments, *second.experiments)))
    return Weakness(
        kind=first.kind, service=first.service, dependency=first.dependency, shown=first.shown,
        proposal=first.proposal, weight=first.weight, experiments=ids,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Caller:
    """A caller of the broken service, and its calls to it."""

    name: str
    calls: Phases
    own: Phases

    @property
    def ratio(self) -> float:
        """How often it calls for each request of its own, as a multiple of before; 1 where that is not known."""
        before, during = (_per_request(self.calls[phase], self.own[phase]) for phase in ("before", "during"))
        return during / before if before and during else 1.0

    @property
    def passed_on(self) -> float:
        """The share of its own requests that fail now, and did not before."""
        return self.own["during"].error_share - self.own["before"].error_share

    @property
    def at_stake(self) -> float:
        """The share of its own requests that would fail if each failed call failed one."""
        return self.calls["during"].error_share * min(1.0, _per_request(self.calls["before"], self.own["before"]))

    @property
    def longest_s(self) -> float:
        """The longest that its calls took, also those that ended just after the fault."""
        return max(self.calls["during"].longest_s, self.calls["after"].longest_s)

    @property
    def waits(self) -> bool:
        """Whether its calls take far longer than usual, or never end while it is asked itself."""
        usual = self.calls["before"].mean_s
        return self.longest_s >= max(SLOW_S, SLOWER * usual) or self.stalled

    @property
    def stalled(self) -> bool:
        """Whether hardly any call ends any more, though the caller is still asked."""
        return (
            self.calls["during"].per_s < FAILS * self.calls["before"].per_s
            and self.own["during"].per_s >= MOSTLY * self.own["before"].per_s
            and self.calls["during"].error_share < FAILS
        )


def _per_request(calls: Traffic, own: Traffic) -> float:
    return calls.calls / own.calls if own.calls else 0.0


def _callers(one: Observed) -> Iterator[_Caller]:
    broken = one.truth.service
    for name in one.callers(broken):
        own, calls = one.served.get(name), one.calls[name, broken]
        if own and min(calls["before"].calls, own["before"].calls) >= FEWEST_CALLS:
            yield _Caller(name, calls, own)


def judged_callers(one: Observed) -> frozenset[str]:
    """The callers of the broken service that this experiment says something about."""
    return frozenset(caller.name for caller in _callers(one))


def _weaknesses(one: Observed) -> Iterator[Weakness]:
    for caller in _callers(one):
        yield from _of_caller(one, caller)
    yield from _of_broken(one)


def _of_caller(one: Observed, caller: _Caller) -> Iterator[Weakness]:
    name, broken = caller.name, one.truth.service
    during, before = caller.calls["during"], caller.calls["before"]
    fails = during.error_share

    def weakness(kind: Kind, shown: str, proposal: str, weight: float) -> Weakness:
        return Weakness(
            kind=kind, service=name, dependency=broken, shown=shown, proposal=proposal, weight=weight,
            experiments=(one.truth.id,),
        )  # fmt: skip

    if caller.waits and caller.longest_s >= min(PATIENT_S, MOSTLY * one.held_s):
        yield weakness(
            "no time-out",
            f"its calls to {broken} took up to {caller.longest_s:.1f} s (usually {_ms(before.mean_s)})",
            f"Set a time-out of about {_time_out(before.mean_s)} on calls from {name} to {broken}.",
            caller.longest_s,
        )
    if caller.ratio >= RETRIES and fails >= FAILS:
        yield weakness(
            "retry storm",
            f"it called {broken} {caller.ratio:.1f} times as often for each of its own requests while it failed",
            f"Retry at most once from {name} to {broken}, after a growing, random delay, and only a few of the calls.",
            caller.ratio,
        )
    if fails >= FAILS and caller.at_stake >= NOTICED and caller.passed_on >= MOSTLY * caller.at_stake:
        yield weakness(
            "no fallback",
            f"{fails:.0%} of its calls to {broken} failed, and {caller.passed_on:.0%} more of its own requests",
            f"Let {name} answer without {broken}: from a cache, with a default, or without that part.",
            caller.passed_on,
        )
        if fails <= 1 - TOLERATED and caller.ratio < ONCE:
            yield weakness(
                "no retry",
                f"{fails:.0%} of its calls to {broken} failed, and none was tried again",
                f"Retry a failed call from {name} to {broken} once, after a random delay, where it is idempotent.",
                fails,
            )
    if fails >= MOSTLY and one.held_s >= BREAKS_AFTER_S and caller.ratio >= 1 - FAILS:
        yield weakness(
            "no circuit breaker",
            f"it went on calling {broken} for {one.held_s:.0f} s while {fails:.0%} of these calls failed",
            f"Open a circuit from {name} to {broken} after a few failures in a row, and try again after some seconds.",
            one.held_s * fails,
        )


def _of_broken(one: Observed) -> Iterator[Weakness]:
    broken = one.truth.service
    for entry in one.entries:
        phases = one.served[entry]
        lost = phases["during"].error_share - phases["before"].error_share
        if entry != broken and phases["before"].calls >= FEWEST_CALLS and lost >= MOSTLY:
            yield Weakness(
                kind="single point of failure", service=broken, dependency=broken, weight=lost,
                shown=f"while it was broken, {lost:.0%} more of the requests to {entry} failed",
                proposal=f"Run a second instance of {broken}, or let {entry} do without it.",
                experiments=(one.truth.id,),
            )  # fmt: skip
    steps = spread(one)
    furthest = max(steps.values(), default=0)
    if furthest >= 2:
        way = ", ".join(f"{name} ({step})" for name, step in sorted(steps.items(), key=lambda pair: (pair[1], pair[0])))
        middle = sorted(name for name, step in steps.items() if step == 1)
        yield Weakness(
            kind="cascade", service=broken, dependency=broken, weight=furthest + len(steps) / 100,
            shown=f"its trouble went {furthest} calls up: {way}",
            proposal=f"Stop it in {' and '.join(middle)}: a time-out and a fallback for calls to {broken}.",
            experiments=(one.truth.id,),
        )  # fmt: skip


def spread(one: Observed) -> Mapping[str, int]:
    """The services that suffered with the broken one, by their distance from it in calls."""
    steps, reached, distance = dict[str, int](), {one.truth.service}, 0
    frontier: Sequence[str] = (one.truth.service,)
    while frontier:
        distance += 1
        frontier = sorted(
            {caller for service in frontier for caller in one.callers(service) if _suffers(one.served.get(caller))}
            - reached
        )
        reached |= set(frontier)
        steps |= dict.fromkeys(frontier, distance)
    return steps


def _suffers(phases: Phases | None) -> bool:
    if phases is None or phases["before"].calls < FEWEST_CALLS:
        return False
    before, during = phases["before"], phases["during"]
    slower = during.mean_s >= max(SLOWER * before.mean_s, before.mean_s + SLOW_S / 2)
    return slower or during.error_share - before.error_share >= TOLERATED


def _held(one: Observed) -> Iterator[Held]:
    broken = one.truth.service
    for caller in _callers(one):
        during = caller.calls["during"]
        if caller.waits and not caller.stalled and during.error_share >= MOSTLY and caller.longest_s < PATIENT_S:
            shown = f"gives up after about {caller.longest_s:.1f} s"
            yield Held(service=caller.name, dependency=broken, shown=shown, experiment=one.truth.id)
        if during.error_share >= FAILS and caller.at_stake >= NOTICED and caller.passed_on < FAILS * caller.at_stake:
            more = max(0.0, caller.passed_on)
            shown = f"answers without it: {during.error_share:.0%} of its calls failed, {more:.0%} more of its own"
            yield Held(service=caller.name, dependency=broken, shown=shown, experiment=one.truth.id)
        if during.error_share >= FAILS and caller.ratio <= 1 - MOSTLY and one.held_s >= BREAKS_AFTER_S:
            shown = f"stops calling it: {caller.ratio:.0%} of the usual calls for each request"
            yield Held(service=caller.name, dependency=broken, shown=shown, experiment=one.truth.id)


def _time_out(usual_s: float) -> str:
    """Ten times the usual, and at least 0.2 s, in one digit."""
    return f"{float(f'{max(0.2, 10 * usual_s):.1g}'):g} s"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
