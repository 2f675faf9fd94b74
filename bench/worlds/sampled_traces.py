"""Single requests of a simulated system as a diagnosis reads them: a share of all traces, as far as they arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.worlds.recorded_rows import ARRIVES_S, late_by
from rca.live.traces import SHARES

# Spans between two seconds from the recording's start, of about so many requests (`chaos.worlds.World.traces`).
Draw = Callable[[float, float, int], pa.Table]

CHUNK_S: Final = 30
REQUESTS: Final = 150  # of each chunk: some ten thousand spans in the minutes that a diagnosis compares
SPREAD: Final = 2_654_435_761  # Knuth's multiplier: neighbouring numbers fall far apart
NANOS: Final = 1_000_000_000
COLUMNS: Final = {
    "trace": pa.int64(),
    "timestamp": pa.int64(),
    "span_id": pa.string(),
    "parent_span_id": pa.string(),
    "service": pa.string(),
    "span_name": pa.string(),
    "duration_ns": pa.int64(),
    "status_code": pa.string(),
    "outgoing": pa.bool_(),
}
NO_SPANS: Final = pa.schema(list(COLUMNS.items())).empty_table()


class SampledTraces:
    """Answers the queries for whole traces.

    Args:
        draw: where spans come from; None for a system of which there are none.
        start: the recording's, Unix seconds.
        after_s: by which the spans of a service arrive later than `ARRIVES_S` after their end.
    """

    def __init__(self, draw: Draw | None, start: int, after_s: Mapping[str, float]) -> None:
        self._start = start
        self._after_s = after_s
        self._draw = draw
        self._chunk = lru_cache(maxsize=16)(self._drawn)
        self._newest: tuple[tuple[float, float, float], pa.Table] | None = None

    def count(self, asked: Mapping[str, Any], now: float) -> pa.Table:
        """How many spans there are in a window."""
        return pa.table({"spans": pa.array([self._within(asked, now).num_rows], pa.int64())})

    def spans(self, asked: Mapping[str, Any], now: float) -> pa.Table:
        """A share of the traces."""
        table = self._within(asked, now)
        dealt = (np.asarray(table["trace"].to_numpy()).astype(np.uint64) * np.uint64(SPREAD) >> np.uint64(12)) % SHARES
        return table.filter(pa.array(dealt < asked["share"])).slice(0, asked["most"])

    def _drawn(self, begin: int) -> pa.Table:
        if self._draw is None:
            return NO_SPANS
        return _spans(self._draw(begin, begin + CHUNK_S, REQUESTS), begin)

    def _within(self, asked: Mapping[str, Any], now: float) -> pa.Table:
        low, high = asked["start"].timestamp(), min(asked["end"].timestamp(), now)
        if self._newest and self._newest[0] == (low, high, now):  # counted first, then read
            return self._newest[1]
        first = max(int(low - self._start), 0) // CHUNK_S * CHUNK_S
        begins = range(first, int(high - self._start) + 1, CHUNK_S)
        table = pa.concat_tables([NO_SPANS, *(self._chunk(begin) for begin in begins)])
        begun = np.asarray(table["timestamp"].to_numpy()) / NANOS
        ended = begun + np.asarray(table["duration_ns"].to_numpy()) / NANOS
        arrived = ended + ARRIVES_S + late_by(table["service"], self._after_s)
        table = table.filter(pa.array((begun >= low) & (begun < high) & (arrived <= now)))
        self._newest = (low, high, now), table
        return table


def _spans(drawn: pa.Table, begin: int) -> pa.Table:
    """A chunk's spans under the store's names; numbers name its traces, which no other chunk has."""
    code = drawn["trace"].combine_chunks().dictionary_encode().indices
    calls = pc.is_in(drawn["kind"], value_set=pa.array(["Client", "Producer"]))
    table = {
        "trace": pc.add(pc.cast(code, pa.int64()), begin * 100_000),
        "timestamp": drawn["start_ns"],
        "span_id": drawn["span_id"],
        "parent_span_id": drawn["parent_span_id"],
        "service": drawn["service"],
        "span_name": drawn["span_name"],
        "duration_ns": drawn["duration_ns"],
        "status_code": drawn["status"],
        "outgoing": pc.and_not(calls, pc.match_substring(drawn["attributes"], '"db.system')),
    }
    return pa.table({name: pc.cast(table[name], kind) for name, kind in COLUMNS.items()})
