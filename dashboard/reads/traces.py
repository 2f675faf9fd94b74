"""Notable requests of a service, and what the page of one trace reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboard.reads.cache import Cache
from dashboard.reads.span_tree import SpanRow, SpanTree, span_tree
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.store.trace_spans import span_detail, trace_lines, trace_spans
from watchkeeper.vocabulary import utc_ns

MOST_SPANS: Final = 20_000  # of one trace; more is a loop, which the first of them show
MOST_LINES: Final = 300
BESIDE_S: Final = 3600.0  # around a trace, in which its log lines are looked for: clocks differ, and exporters wait


@dataclass(frozen=True, slots=True, kw_only=True)
class NotableRequest:
    """One request that a service answered: it failed, or it is among the slowest."""

    trace_id: str
    at: datetime
    operation: str
    duration_ms: float
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """Something that happened within a span."""

    at: datetime
    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLink:
    """Another span that a span names."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDetail:
    """What one span carries beside its place and its times."""

    attributes: Mapping[str, str]
    resource: Mapping[str, str]
    events: Sequence[SpanEvent]
    links: Sequence[SpanLink]


class TraceReads:
    """Reads single traces. Every method raises StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, cache: Cache) -> None:
        self._telemetry = telemetry
        self._cache = cache

    def tree(self, trace_id: str) -> SpanTree | None:
        """The first 20,000 spans of a trace; None if the store has none."""

        def load() -> SpanTree | None:
            rows = trace_spans(self._telemetry, trace_id, MOST_SPANS)
            return span_tree(SpanRow(**row) for row in rows) if rows else None

        return self._cache.get(("trace-tree", trace_id), load)

    def detail(self, trace_id: str, span_id: str) -> SpanDetail | None:
        """What one span carries; None if the store has no such span."""

        def load() -> SpanDetail | None:
            row = span_detail(self._telemetry, trace_id, span_id)
            return _detail(row) if row else None

        return self._cache.get(("span-detail", trace_id, span_id), load)

    def lines(self, trace_id: str, tree: SpanTree) -> Sequence[Mapping[str, Any]]:
        """The first 300 log lines of a trace: see `trace_lines`."""
        start, end = tree.start_ns / 1e9 - BESIDE_S, (tree.start_ns + tree.duration_ns) / 1e9 + BESIDE_S
        return self._cache.get(
            ("trace-lines", trace_id), lambda: trace_lines(self._telemetry, trace_id, start, end, MOST_LINES)
        )


def _detail(row: Mapping[str, Any]) -> SpanDetail:
    return SpanDetail(
        attributes=json.loads(row["attributes"]),
        resource=json.loads(row["resource"]),
        events=[
            SpanEvent(at=utc_ns(int(e["at_ns"])), name=e["name"], attributes=json.loads(e["attributes"]))
            for e in json.loads(row["events"])
        ],
        links=[
            SpanLink(trace_id=each["trace_id"], span_id=each["span_id"], attributes=json.loads(each["attributes"]))
            for each in json.loads(row["links"])
        ],
    )
