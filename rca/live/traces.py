"""Whole traces around the onset, for evidence that compares what requests do: a bounded share of a large system's."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rca.live.reading import Reader, span_times
from rca.spans import SpanLogs, Spans, read_spans, span_logs
from watchkeeper.store import diagnosis_queries as sql

SHARES: Final = 1024  # in how many parts the store deals out its traces
# A sample of this size shows a change in the operations that carry the load; it is read and compared in about 0.3 s.
ENOUGH_SPANS: Final = 30_000
MOST_SPANS: Final = 2 * ENOUGH_SPANS  # a few huge traces can exceed the estimate; beyond this nothing is compared
MOST_LINES: Final = 60_000
# Spans come in batches, 5 s apart by default, and then wait for the loader: what is newer is incomplete.
COMPLETE_AFTER_S: Final = 8.0


def read_traces(reader: Reader, start: float, onset: float, end: float) -> tuple[Spans | None, SpanLogs | None]:
    """Spans and their log lines of complete traces from `start` to shortly before `end`, Unix seconds.

    None where nothing was traced on one of the two sides of the onset, or where the traces are too large to read.
    """
    until = end - COMPLETE_AFTER_S
    if until <= onset:
        return None, None
    window = span_times(start, end)
    count = int(reader.query(sql.SPANS, window)["spans"][0].as_py())
    if not count:
        return None, None
    share = {"share": min(max(int(SHARES * ENOUGH_SPANS / count), 1), SHARES)}
    table = reader.query(sql.TRACES, window | share | {"most": MOST_SPANS})
    if len(table) >= MOST_SPANS:
        return None, None
    table = _complete(table, until)
    spans = read_spans(table, None, onset) if len(table) else None
    if spans is None or spans.known.all() or not spans.known.any():
        return None, None
    lines = reader.query(sql.TRACE_LINES, window | share | {"most": MOST_LINES})
    return spans, span_logs(spans, lines) if len(lines) < MOST_LINES else None


def _complete(table: pa.Table, until: float) -> pa.Table:
    """The spans of traces that ended before `until`."""
    ended = pc.add(table["timestamp"], table["duration_ns"]).to_numpy()
    trace = table["trace"].to_numpy()
    late = np.unique(trace[ended > until * 1e9])
    return table.filter(pa.array(~np.isin(trace, late)))
