"""RED of each service on a regular grid of buckets, from the store's table of rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.vocabulary import Window, utc

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RedSeries:
    """One service's requests. All arrays have the shape (n_buckets,), sorted by time.

    `calls` and `errors` are counts a bucket, 0 where nothing was served; the latencies are milliseconds,
    NaN where nothing was served. `direct` is how many requests of the whole series had no parent span.
    """

    service: str
    start: datetime
    step_s: int
    calls: Floats
    errors: Floats
    p50_ms: Floats
    p95_ms: Floats
    direct: float = 0.0

    @property
    def rate(self) -> Floats:
        """Requests a second, shape (n_buckets,)."""
        return self.calls / self.step_s

    @property
    def error_ratio(self) -> Floats:
        """Failed requests over all, 0 to 1; NaN where nothing was served."""
        return np.divide(self.errors, self.calls, out=np.full_like(self.calls, np.nan), where=self.calls > 0)

    @property
    def times(self) -> list[datetime]:
        """The start of each bucket."""
        return [self.start + timedelta(seconds=self.step_s * i) for i in range(len(self.calls))]

    def recent(self, seconds: float = 60.0) -> Served:
        """What the service did in the buckets that cover `seconds`; but the newest, which may still grow."""
        n = min(max(1, round(seconds / self.step_s)), max(1, len(self.calls) - 1))
        return self.over(slice(-n - 1, -1) if len(self.calls) > 1 else slice(None))

    def over(self, part: slice) -> Served:
        """What the service did in a part of the buckets; the latency is weighted by requests."""
        calls, p95_ms = self.calls[part], self.p95_ms[part]
        total, errors = float(calls.sum()), float(self.errors[part].sum())
        known = np.isfinite(p95_ms) & (calls > 0)
        return Served(
            per_second=total / (len(calls) * self.step_s) if len(calls) else 0.0,
            errors=errors,
            error_ratio=errors / total if total else None,
            p95_ms=float(np.average(p95_ms[known], weights=calls[known])) if known.any() else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What a service does now, and the end of the last bucket in which it served anything."""

    served: Served
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Rate, failures, error ratio (0 to 1) and latency of a part of a series; None where nothing was served."""

    per_second: float
    errors: float
    error_ratio: float | None
    p95_ms: float | None


def idle(service: str, window: Window, step_s: int) -> RedSeries:
    """The series of a service that served nothing in the window."""
    start, length = grid(window, step_s)
    nothing, unknown = np.zeros(length), np.full(length, np.nan)
    return RedSeries(
        service=service, start=start, step_s=step_s, calls=nothing, errors=nothing, p50_ms=unknown, p95_ms=unknown
    )


def grid(window: Window, step_s: int) -> tuple[datetime, int]:
    """The first bucket and the number of buckets that lie wholly within a window: half a bucket looks like a fall."""
    first = -(-int(window.start.timestamp()) // step_s)
    last = int(window.end.timestamp()) // step_s
    return utc(first * step_s), max(1, last - first)


def positions(table: pa.Table, start: datetime, step_s: int) -> NDArray[np.int64]:
    """Where each row's `bucket` stands on the grid that begins at `start`, shape (n_rows,)."""
    seconds = pc.cast(pc.cast(table["bucket"], pa.timestamp("s", "UTC")), pa.int64())
    index = (np.asarray(seconds) - int(start.timestamp())) // step_s
    return index.astype(np.int64)


def placed(table: pa.Table, column: str, index: NDArray[np.int64], length: int, empty: float) -> Floats:
    """A column laid out on the grid, shape (length,); `empty` where there is no row."""
    values = np.full(length, empty)
    inside = (index >= 0) & (index < length)
    values[index[inside]] = np.asarray(table[column], dtype=np.float64)[inside]
    return values


def by_service(table: pa.Table, window: Window, step_s: int) -> dict[str, RedSeries]:
    """Split rows (bucket, service, calls, errors, p50_ms, p95_ms) into one series a service, by name."""
    start, length = grid(window, step_s)
    encoded = table["service"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    at, service = positions(table, start, step_s), np.asarray(encoded.indices)
    inside = (at >= 0) & (at < length)
    cells = service[inside], at[inside]

    def laid_out(column: str, empty: float) -> Floats:
        """Shape (n_services, n_buckets); `empty` where there is no row."""
        values = np.full((len(names), length), empty)
        values[cells] = np.asarray(table[column], dtype=np.float64)[inside]
        return values

    calls, errors = laid_out("calls", 0.0), laid_out("errors", 0.0)
    p50_ms, p95_ms = laid_out("p50_ms", np.nan), laid_out("p95_ms", np.nan)
    direct = np.zeros(len(names))
    if "direct" in table.column_names:
        np.add.at(direct, service, np.asarray(table["direct"], dtype=np.float64))
    return {
        names[row]: RedSeries(
            service=names[row],
            start=start,
            step_s=step_s,
            calls=calls[row],
            errors=errors[row],
            p50_ms=p50_ms[row],
            p95_ms=p95_ms[row],
            direct=float(direct[row]),
        )
        for row in sorted(range(len(names)), key=names.__getitem__)
    }
