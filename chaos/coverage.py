"""Which faults were tested in which services, what became of them, and which experiments to run next.

Pure. A cell is a service and a fault. It shows the worst of its newest tests: one lucky find does not hide two misses.
What to run next is a question of what would be learned by it and what it would put at risk; `Proposed` has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from chaos.blast_radius import callers_of
from chaos.scored import ScoredExperiment

State = Literal["untested", "detected", "late", "wrong cause", "missed", "outdated"]
STATES: Final[tuple[State, ...]] = ("missed", "wrong cause", "late", "outdated", "untested", "detected")
JUDGED_BY: Final = 3  # the newest tests of a cell
# A page that comes later was not much use: customers have called by then.
LATE_S: Final = 60.0
OUTDATED_AFTER: Final = timedelta(days=30)  # a month's deploys have changed what was tested
HALF_LIFE: Final = timedelta(days=30)  # after which a test says half as much
PRIOR_TESTS: Final = 2.0  # as many tests of the cell itself are worth as much as all tests of its fault and its service
SIMILAR: Final = 0.5  # the worth of a proposal that shares its fault, or its service, with one before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is known of one fault in one service. `tested_at` None: it never took effect there.

    `right` of `tested` were found in time, with the right cause. An `outdated` cell was `before` when it was tested.
    """

    service: str
    fault: str
    state: State
    tested: int = 0
    found: int = 0
    right: int = 0
    tested_at: datetime | None = None
    before: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What an experiment in a service would put at risk.

    Attributes:
        services: it and whatever calls it, directly or not: those that may fail with it.
        share: of all services.
        budget: the smallest error budget that is left of their objectives, from 0 to 1; 1 where none is set.
        is_known: whether there is a call graph; without one everything may depend on it.
    """

    services: tuple[str, ...]
    share: float
    budget: float = 1.0
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """An experiment to run next, and why. `worth` is `learned` times (1 - `reach.share` / 2) times `reach.budget`.

    `learned` is how uncertain it is that the fault would be found in time with the right cause: the standard deviation
    of a beta distribution, at most 0.29. It begins with what tests of this fault elsewhere, and of this service under
    other faults, have shown.
    """

    cell: Cell
    learned: float
    expected: float
    reach: Reach
    worth: float

    @property
    def reason(self) -> str:
        """One sentence for a human."""
        cell = self.cell
        known = {
            "untested": "never tested",
            "outdated": f"tested too long ago ({cell.before} then)",
            "missed": f"found {cell.found} of {cell.tested}",
            "wrong cause": f"found {cell.found} of {cell.tested}, with the right cause {cell.right}",
            "late": f"found {cell.found} of {cell.tested}, in time {cell.right}",
            "detected": f"found {cell.found} of {cell.tested}",
        }[cell.state]
        others = len(self.reach.services) - 1
        touches = "who depends on it is not known"
        if self.reach.is_known:
            touches = (
                f"{others} service{'s' if others != 1 else ''} depend{'' if others != 1 else 's'} on {cell.service}"
            )
        budget = f"; {self.reach.budget:.0%} of the error budget is left" if self.reach.budget < 1 else ""
        return f"{known}; similar tests: {self.expected:.0%} right; {touches}{budget}"


def is_right(one: ScoredExperiment) -> bool:
    """Whether it was found in time, with the right cause."""
    return one.found and not _is_late(one) and one.answer is not None and one.answer.right


def coverage(
    known: Iterable[ScoredExperiment], now: datetime, possible: Collection[tuple[str, str]] = ()
) -> tuple[Cell, ...]:
    """Every cell that was tested, or is `possible` (service, fault); by service, then by fault."""
    tests: dict[tuple[str, str], list[ScoredExperiment]] = {cell: [] for cell in possible}
    for one in known:
        if one.counts:
            tests.setdefault(one.cell, []).append(one)
    return tuple(_cell(service, fault, tests[service, fault], now) for service, fault in sorted(tests))


def _cell(service: str, fault: str, tests: Sequence[ScoredExperiment], now: datetime) -> Cell:
    if not tests:
        return Cell(service=service, fault=fault, state="untested")
    state = min((_state(one) for one in tests[-JUDGED_BY:]), key=STATES.index)
    cell = Cell(
        service=service,
        fault=fault,
        state=state,
        tested=len(tests),
        found=sum(one.found for one in tests),
        right=sum(is_right(one) for one in tests),
        tested_at=tests[-1].truth.began,
    )
    is_old = now - tests[-1].truth.began > OUTDATED_AFTER
    return replace(cell, state="outdated", before=state) if is_old else cell


def _state(one: ScoredExperiment) -> State:
    if not one.found:
        return "missed"
    if one.answer is None or not one.answer.right:
        return "wrong cause"
    return "late" if _is_late(one) else "detected"


def _is_late(one: ScoredExperiment) -> bool:
    seconds = one.paged_s if one.paged_s is not None else one.detected_s
    return seconds is not None and seconds > LATE_S


def reach_of(
    service: str, edges: Iterable[tuple[str, str]], services: Collection[str], budgets: Mapping[str, float]
) -> Reach:
    """What depends on a service, by the call graph (caller, callee), of these services."""
    pairs = tuple(edges)
    reached = {service} | callers_of([service], pairs)
    everything = set(services) | reached
    return Reach(
        services=tuple(sorted(reached)),
        share=len(reached) / len(everything) if pairs else 1.0,
        is_known=bool(pairs),
        budget=min((budgets[name] for name in reached if name in budgets), default=1.0),
    )


def propose(
    cells: Sequence[Cell],
    known: Sequence[ScoredExperiment],
    reaches: Mapping[str, Reach],
    now: datetime,
    count: int = 3,
) -> tuple[Proposed, ...]:
    """The next experiments, the most worth first: one at a time, each unlike those before it where that is worth it."""
    tests = [one for one in known if one.counts]
    left = [_proposed(cell, tests, reaches[cell.service], now) for cell in cells if cell.service in reaches]
    chosen: list[Proposed] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda one: (one.worth * _unlike(one, chosen), -len(one.reach.services), one.cell.service))
        left.remove(best)
        if best.worth > 0:
            chosen.append(best)
    return tuple(chosen)


def _unlike(one: Proposed, chosen: Iterable[Proposed]) -> float:
    factor = 1.0
    for other in chosen:
        factor *= SIMILAR ** ((one.cell.fault == other.cell.fault) + (one.cell.service == other.cell.service))
    return factor


def _proposed(cell: Cell, tests: Iterable[ScoredExperiment], reach: Reach, now: datetime) -> Proposed:
    own, similar = [0.0, 0.0], [1.0, 1.0]  # right and wrong, by weight; before any test both are as likely
    for one in tests:
        weight = 0.5 ** ((now - one.truth.began) / HALF_LIFE)
        at = 0 if is_right(one) else 1
        if one.cell == (cell.service, cell.fault):
            own[at] += weight
        elif one.truth.fault == cell.fault or one.truth.service == cell.service:
            similar[at] += weight
    expected = similar[0] / sum(similar)
    right, wrong = PRIOR_TESTS * expected + own[0], PRIOR_TESTS * (1 - expected) + own[1]
    both = right + wrong
    learned = math.sqrt(right * wrong / (both * both * (both + 1)))
    worth = learned * (1 - reach.share / 2) * max(0.0, reach.budget)
    return Proposed(cell=cell, learned=learned, expected=right / both, reach=reach, worth=worth)
