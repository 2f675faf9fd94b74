"""The scorecard as Prometheus metrics of the watch role."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from prometheus_client import Gauge

from chaos.coverage import STATES, coverage
from chaos.scorecard import Scorecard, scorecards
from chaos.scorecard import false_pages as false_pages_of
from chaos.scored import scored_experiments, unsealed
from watchkeeper.intervals import Median, Rate, Share
from watchkeeper.state.database import Database

EXPERIMENTS = Gauge("watchkeeper_experiments", "Experiments and control windows, by outcome.", ["outcome"])
SHARE = Gauge(
    "watchkeeper_scorecard_share",
    "What experiments measured, from 0 to 1, and its bounds (95 %).",
    ["fault", "measure", "bound"],
)
SECONDS = Gauge(
    "watchkeeper_scorecard_seconds",
    "Median times in experiments, and their bounds (95 %).",
    ["fault", "measure", "bound"],
)
FALSE_PAGES = Gauge(
    "watchkeeper_scorecard_false_pages_per_hour", "Pages in control windows, and their bounds (95 %).", ["bound"]
)
CELLS = Gauge("watchkeeper_coverage_cells", "Tested pairs of service and fault, by state.", ["state"])

OUTCOMES: Final = ("found", "missed", "joined", "no effect", "unknown", "false page", "quiet")
_SHARES: Final = ("recall", "first", "in_three", "mechanism")
_SECONDS: Final = ("detect_s", "page_s", "repair_s", "clear_s")


def export(db: Database, now: datetime) -> None:
    """Set every metric from what is recorded. What was never measured has no sample."""
    known = unsealed(scored_experiments(db), now)
    for outcome in OUTCOMES:
        EXPERIMENTS.labels(outcome).set(sum(one.outcome == outcome for one in known))
    for gauge in (SHARE, SECONDS, FALSE_PAGES):
        gauge.clear()
    for (fault,), card in scorecards(known, ("fault",)).items():
        _export_card(fault, card)
    for bound, number in _bounds(false_pages_of(known)):
        FALSE_PAGES.labels(bound).set(number)
    cells = coverage(known, now)
    for state in STATES:
        CELLS.labels(state).set(sum(cell.state == state for cell in cells))


def _export_card(fault: str, card: Scorecard) -> None:
    for gauge, names in ((SHARE, _SHARES), (SECONDS, _SECONDS)):
        for name in names:
            for bound, number in _bounds(getattr(card, name)):
                gauge.labels(fault, name.removesuffix("_s"), bound).set(number)


def _bounds(measured: Share | Rate | Median) -> list[tuple[str, float]]:
    """The estimate and its bounds, those that there are; none where nothing was measured."""
    if measured.value is None:
        return []
    numbers = (("value", measured.value), ("low", measured.low), ("high", measured.high))
    return [(name, number) for name, number in numbers if number is not None and math.isfinite(number)]
