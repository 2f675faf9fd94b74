"""What chaos measured of the loop: detected, paged, ranked, recovered, and when; by fault and by service."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Cell = Literal["untested", "no effect", "missed", "wrong cause", "detected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One injected fault and what became of it. Seconds count from the proven effect; None: it never happened."""

    fault: str
    target: str
    took_effect: bool
    detected_s: float | None
    paged_s: float | None
    rank_of_truth: int | None
    mechanism: str
    mechanism_named: str | None
    resolved_s: float | None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Scored:
        """From one entry of `faults` in the demo's JSON."""
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Shares are 0 to 1, higher is better; seconds are medians over the faults for which it happened."""

    faults: int
    took_effect: int
    detected: float
    paged: float
    first: float
    first_two: float
    first_three: float
    mechanism: float
    median_detected_s: float | None
    median_paged_s: float | None
    median_resolved_s: float | None


def score(rows: Sequence[Scored]) -> Scorecard:
    """Score every fault that took effect; those that did not are counted, not scored."""
    real = [row for row in rows if row.took_effect]
    count = max(len(real), 1)

    def ranked_within(most: int) -> float:
        return sum(row.rank_of_truth is not None and row.rank_of_truth <= most for row in real) / count

    return Scorecard(
        faults=len(rows),
        took_effect=len(real),
        detected=sum(row.detected_s is not None for row in real) / count,
        paged=sum(row.paged_s is not None for row in real) / count,
        first=ranked_within(1),
        first_two=ranked_within(2),
        first_three=ranked_within(3),
        mechanism=sum(row.mechanism_named == row.mechanism for row in real) / count,
        median_detected_s=_median(row.detected_s for row in real),
        median_paged_s=_median(row.paged_s for row in real),
        median_resolved_s=_median(row.resolved_s for row in real),
    )


def coverage(rows: Iterable[Scored], services: Sequence[str], faults: Sequence[str]) -> dict[str, dict[str, Cell]]:
    """Service → fault → the worst that was seen there. `untested` cells are the next experiments to run."""
    order: tuple[Cell, ...] = ("untested", "detected", "no effect", "wrong cause", "missed")
    table: dict[str, dict[str, Cell]] = {service: dict.fromkeys(faults, "untested") for service in services}
    for row in rows:
        if row.target in table and row.fault in table[row.target]:
            seen = table[row.target][row.fault]
            table[row.target][row.fault] = max(seen, _cell(row), key=order.index)
    return table


def _cell(row: Scored) -> Cell:
    if not row.took_effect:
        return "no effect"
    if row.detected_s is None:
        return "missed"
    return "detected" if row.rank_of_truth is not None and row.rank_of_truth <= 2 else "wrong cause"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if known else None
