"""What a metric measures, by the words and the unit of its name (OpenTelemetry and Prometheus conventions)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Measure = Literal["latency", "requests", "success", "errors"]

# Read from the top: the first that matches decides.
MEASURES: tuple[tuple[Measure, re.Pattern[str]], ...] = (
    ("success", re.compile(r"availab|success", re.IGNORECASE)),
    ("errors", re.compile(r"error|fault|fail", re.IGNORECASE)),
    ("latency", re.compile(r"latency|duration|response.?time", re.IGNORECASE)),
    ("requests", re.compile(r"request|calls|throughput|workload|\bqps|\brps", re.IGNORECASE)),
)
UNITS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"(milliseconds|millis|_ms)\b", re.IGNORECASE), 1e-3),
    (re.compile(r"(microseconds|_us)\b", re.IGNORECASE), 1e-6),
    (re.compile(r"(nanoseconds|_ns)\b", re.IGNORECASE), 1e-9),
    (re.compile(r"percent|_pct\b", re.IGNORECASE), 1e-2),
)
PER_SECOND = re.compile(r"per_?second|rate|\bqps|\brps|/s\b", re.IGNORECASE)
# Averages add up to seconds spent; a quantile is the next best thing, the lower the better.
PREFERENCE = (re.compile(r"average|mean|avg", re.IGNORECASE), re.compile(r"p50|median", re.IGNORECASE))
OUTSIDE = re.compile(r"client|entry|node_", re.IGNORECASE)  # measured at the caller, the entire system or the host


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a metric measures: multiply by `unit` for seconds or a share; `rank` 0 is the best of its measure."""

    measure: Measure
    unit: float
    per_second: bool
    rank: int


def meaning(metric: str) -> Meaning | None:
    """What the metric measures of the requests that its node served; None if it measures none."""
    return None if OUTSIDE.search(metric) else measured(metric)


def measured(metric: str) -> Meaning | None:
    """What the metric measures of requests, at whichever side; None if it measures none."""
    for measure, words in MEASURES:
        if words.search(metric):
            return Meaning(
                measure=measure,
                unit=next((unit for words, unit in UNITS if words.search(metric)), 1.0),
                per_second=PER_SECOND.search(metric) is not None,
                rank=next((rank for rank, words in enumerate(PREFERENCE) if words.search(metric)), len(PREFERENCE)),
            )
    return None


# Wider than what `series_changes` takes for a resource: events are only grouped by these, never compared in their unit,
# so a limit counts with what it limits. Grouping as resources do changes ranks on the development packs.
CONCEPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("cpu", re.compile(r"cpu|processor", re.IGNORECASE)),
    ("memory", re.compile(r"mem|heap|rss|swap", re.IGNORECASE)),
    ("disk", re.compile(r"disk|fs_|filesystem|block|iops", re.IGNORECASE)),
    ("network", re.compile(r"net|packet|tcp|socket", re.IGNORECASE)),
    ("threads", re.compile(r"thread|fd|handle", re.IGNORECASE)),
    ("success", re.compile(r"availab|success|error|fail|fault", re.IGNORECASE)),
    ("latency", re.compile(r"latency|duration|response.?time|p\d\d", re.IGNORECASE)),
    ("requests", re.compile(r"request|calls|throughput|qps|rps", re.IGNORECASE)),
)


def concept_of(metric: str) -> str:
    """The kind of thing that a metric measures, `other` if its name does not contain it."""
    return next((concept for concept, words in CONCEPTS if words.search(metric)), "other")
