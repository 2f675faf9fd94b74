"""What experiments and control windows measured of the loop: found, paged, explained, repaired, and how surely.

Pure. Experiments count where their fault took effect; a share, a rate and a median each carry the interval of what
may stand behind them, so that three of three is not taken for always.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from chaos.scored import Answer, ScoredExperiment
from watchkeeper.intervals import Median, Rate, Share

By = Literal["fault", "service", "version"]
NAMED_FIRST: Final = 3  # suspects that a page shows
# A trend's steps: the first by which a history has at most so many.
STEPS: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=28))
MOST_STEPS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Of one group of experiments. Shares are from 0 to 1, times in seconds.

    Attributes:
        experiments: all of them; `without_effect` of them proved nothing.
        recall: paged while the fault held or soon after, of those that took effect.
        first: the service at fault was named as the cause, of those that were found; `in_three`: it was among the
            first three suspects; `first_at_page`: it was named already when the page went out.
        mechanism: the first suspect's mechanism is the true one, where the first suspect is the true service.
        abstained_when_wrong: no cause was named, where the first suspect was not the service at fault.
        runbooks: succeeded, of those that were run.
        label_errors: human labels that the truth contradicts; `game_day_label_errors`: of those on game days, when the
            human did not know which fault it was.
        pages: a fault that was found; one is right.
        false_pages: an hour of control windows.
    """

    experiments: int
    without_effect: int
    recall: Share
    first: Share
    in_three: Share
    first_at_page: Share
    mechanism: Share
    abstained_when_wrong: Share
    runbooks: Share
    label_errors: Share
    game_day_label_errors: Share
    detect_s: Median
    page_s: Median
    acknowledge_s: Median
    repair_s: Median
    clear_s: Median
    pages: float | None
    false_pages: Rate


def scorecard(known: Iterable[ScoredExperiment]) -> Scorecard:
    """The scorecard of these experiments and control windows."""
    every = list(known)
    run = [one for one in every if not one.is_control]
    real = [one for one in run if one.counts]
    found = [one for one in real if one.found]
    wrong = [one for one in found if one.answer and one.answer.rank != 1]
    return Scorecard(
        experiments=len(run),
        without_effect=sum(one.outcome in ("no effect", "unknown") for one in run),
        recall=Share.of(one.found for one in real),
        first=Share.of(_right(one.answer) for one in found),
        in_three=Share.of(_in_three(one) for one in found),
        first_at_page=Share.of(_right(one.at_page) for one in found),
        mechanism=Share.of(
            one.answer.mechanism == one.truth.mechanism for one in found if one.answer and one.answer.rank == 1
        ),
        abstained_when_wrong=Share.of(one.answer.abstained for one in wrong if one.answer),
        runbooks=Share.of(one.run for one in found),
        label_errors=_label_errors(every),
        game_day_label_errors=_label_errors(one for one in every if one.truth.sealed),
        detect_s=Median.of(one.detected_s for one in found),
        page_s=Median.of(one.paged_s for one in found),
        acknowledge_s=Median.of(one.acknowledged_s for one in found),
        repair_s=Median.of(one.repaired_s for one in found),
        clear_s=Median.of(one.cleared_s for one in found),
        pages=sum(len(one.incidents) for one in found) / len(found) if found else None,
        false_pages=false_pages(every),
    )


def false_pages(known: Iterable[ScoredExperiment]) -> Rate:
    """Pages in control windows, an hour of these windows."""
    windows = [one for one in known if one.is_control and one.outcome]
    hours = sum((one.truth.ended - one.truth.began).total_seconds() for one in windows) / 3600
    return Rate(events=sum(len(one.incidents) for one in windows), hours=hours)


def _label_errors(known: Iterable[ScoredExperiment]) -> Share:
    return Share.of(not agrees for one in known for agrees in one.human)


def _right(answer: Answer | None) -> bool:
    return answer is not None and answer.right


def _in_three(one: ScoredExperiment) -> bool:
    return one.answer is not None and one.answer.rank is not None and one.answer.rank <= NAMED_FIRST


def scorecards(known: Sequence[ScoredExperiment], by: Sequence[By]) -> dict[tuple[str, ...], Scorecard]:
    """A scorecard for each combination of these, the most tested first; control windows have a version alone."""
    groups: dict[tuple[str, ...], list[ScoredExperiment]] = {}
    for one in known:
        if one.is_control and set(by) != {"version"}:
            continue
        groups.setdefault(tuple(_KEYS[name](one) for name in by), []).append(one)
    return {key: scorecard(groups[key]) for key in sorted(groups, key=lambda key: (-len(groups[key]), key))}


_KEYS: Final[dict[By, Callable[[ScoredExperiment], str]]] = {
    "fault": lambda one: one.truth.fault,
    "service": lambda one: one.truth.service,
    "version": lambda one: one.version,
}


def trend(known: Sequence[ScoredExperiment]) -> dict[datetime, Scorecard]:
    """A scorecard for each hour, day, week or four weeks in which there were experiments, oldest first."""
    if not known:
        return {}
    first, last = known[0].truth.began, known[-1].truth.began
    step = next((step for step in STEPS if last - first <= MOST_STEPS * step), STEPS[-1])
    start = first.replace(minute=0, second=0, microsecond=0)
    if step >= timedelta(days=1):
        start = start.replace(hour=0)
    groups: dict[datetime, list[ScoredExperiment]] = {}
    for one in known:
        groups.setdefault(start + (one.truth.began - start) // step * step, []).append(one)
    return {at: scorecard(groups[at]) for at in sorted(groups)}


def described(card: Scorecard) -> dict[str, Any]:
    """A scorecard as JSON: each number with its bounds; null where nothing was measured."""
    return {field.name: _number(getattr(card, field.name)) for field in fields(card)}


def _number(measured: object) -> Any:
    if not isinstance(measured, Share | Rate | Median):
        return measured
    bounds = (measured.value, measured.low, measured.high)
    value, low, high = (None if bound is None or math.isinf(bound) else round(bound, 4) for bound in bounds)
    return asdict(measured) | {"value": value, "low": low, "high": high}
