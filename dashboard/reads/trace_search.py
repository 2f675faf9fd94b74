"""What the page Traces reads: how many requests match, their durations over time, and the list."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from dashboard.reads.cache import Cache
from dashboard.reads.trace_query import Order, TraceQuery
from watchkeeper.store import span_search
from watchkeeper.store.span_comparison import SpanComparison, Split, compare_spans
from watchkeeper.store.span_search import SpanSearch
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

MOST_LISTED: Final = 50
LONGEST_ID: Final = 200  # of a trace; OpenTelemetry's have 32, but a Collector's table may hold anything
COLUMNS: Final = 60  # of the duration map
_STEPS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Requests that began within one step and took about the same: `band` as in `span_search.duration_map`."""

    start: datetime
    band: int
    spans: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRequest:
    """One matching span, and its trace as far as the store has it. `services` are at most 12, by their first span."""

    trace_id: str
    span_id: str
    at: datetime
    service: str
    operation: str
    duration_ms: float
    failed: bool
    message: str
    root_service: str
    root_operation: str
    services: tuple[str, ...]
    service_count: int
    spans: int
    failed_spans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What was found; `cells` count all of it, and `requests` are the first of it."""

    total: int
    failed: int
    step_s: int
    cells: Sequence[Cell]
    requests: Sequence[FoundRequest]


class TraceSearchReads:
    """Searches among spans. Every method raises StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, cache: Cache) -> None:
        self._telemetry = telemetry
        self._cache = cache

    def found(self, window: Window, query: TraceQuery) -> SearchResult:
        """The requests that match over a window: the list is read beside the counts."""
        search = query.search

        def load() -> SearchResult:
            with ThreadPoolExecutor(1) as beside:
                listed = beside.submit(self._listed, window, search, query.order)
                cells = self._cells(window, search, step_for(window))
                return SearchResult(
                    total=sum(cell.spans for cell in cells),
                    failed=sum(cell.failed for cell in cells),
                    step_s=step_for(window),
                    cells=cells,
                    requests=listed.result(),
                )

        return self._cache.get(("trace-search", window, search, query.order), load)

    def comparison(self, window: Window, search: SpanSearch, split: Split) -> SpanComparison:
        """The slow, the failed or the present spans beside the others: see `compare_spans`."""
        return self._cache.get(
            ("trace-comparison", window, search, split),
            lambda: compare_spans(self._telemetry, window, search, split),
        )

    def operations(self, window: Window, service: str) -> Sequence[str]:
        """Names of a service's operations ("" for all), the most frequent first."""
        return self._cache.get(
            ("operation-names", window, service), lambda: span_search.operations(self._telemetry, window, service)
        )

    def _cells(self, window: Window, search: SpanSearch, step_s: int) -> Sequence[Cell]:
        rows = span_search.duration_map(self._telemetry, window, search, step_s=step_s).to_pylist()
        return [
            Cell(
                start=datetime.fromtimestamp(row["step"], UTC),
                band=row["band"],
                spans=row["spans"],
                failed=row["failed"],
            )
            for row in rows
        ]

    def _listed(self, window: Window, search: SpanSearch, order: Order) -> Sequence[FoundRequest]:
        rows = span_search.matching(
            self._telemetry, window, search, newest=order == "newest", limit=MOST_LISTED
        ).to_pylist()
        if not rows:
            return ()
        ids = [row["trace_id"] for row in rows if len(row["trace_id"]) <= LONGEST_ID]
        traces = {row["trace_id"]: row for row in span_search.traces_of(self._telemetry, window, ids).to_pylist()}
        return [_request(row, traces.get(row["trace_id"], {})) for row in rows]


def _request(row: dict[str, Any], trace: dict[str, Any]) -> FoundRequest:
    return FoundRequest(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        at=row["at"],
        service=row["service"],
        operation=row["operation"],
        duration_ms=row["duration_ms"],
        failed=bool(row["failed"]),
        message=row["message"],
        root_service=trace.get("service", row["service"]),
        root_operation=trace.get("operation", row["operation"]),
        services=tuple(trace.get("services") or (row["service"],)),
        service_count=trace.get("service_count", 1),
        spans=trace.get("spans", 1),
        failed_spans=trace.get("failed", int(bool(row["failed"]))),
    )


def step_for(window: Window) -> int:
    """Seconds a column of the duration map."""
    return next((step for step in _STEPS_S if window.seconds / step <= COLUMNS), _STEPS_S[-1])
