"""The last minutes of every series as dense arrays: one row a series, one column a bucket.

Rows come from the store's roll-ups as Arrow and are placed without a Python loop over them. Memory is bounded:
past `max_series`, new series are counted and dropped, and the detectors say so.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import Counter, Gauge

Floats = npt.NDArray[np.float64]

SERIES = Gauge("watchkeeper_detector_series", "Series that a detector follows.", ["history"])
DROPPED = Counter("watchkeeper_detector_series_dropped_total", "Series over the limit, not followed.", ["history"])
SEPARATOR: Final = "\x1f"
# Of the series followed: when as many have no data left, beginning anew makes room for those that were dropped.
MOST_GONE: Final = 0.25


class History:
    """A ring of buckets for series that are named by some text columns.

    Args:
        name: for the metrics about this history.
        keys: the columns that name a series.
        values: the columns to keep, with what stands for "nothing reported" (0 for counts, NaN for levels).
        buckets: how many buckets to keep.
        step_s: seconds in a bucket.
        max_series: how many series to follow.
    """

    def __init__(
        self,
        name: str,
        *,
        keys: Sequence[str],
        values: Mapping[str, float],
        buckets: int,
        step_s: int,
        max_series: int = 100_000,
    ) -> None:
        self.name = name
        self._keys = tuple(keys)
        self._values = dict(values)
        self.buckets = buckets
        self.step_s = step_s
        self._max_series = max_series
        self._known = pa.array([], pa.string())
        self._arrays = {column: np.full((0, buckets), empty) for column, empty in values.items()}
        self.units: dict[str, str] = {}  # of metrics, by name, as far as they were sent
        self._newest = 0  # the start of the last column's bucket, Unix seconds
        self.dropped = 0

    @property
    def size(self) -> int:
        """How many series there are."""
        return len(self._known)

    def __getitem__(self, column: str) -> Floats:
        """The array of a column, (n_series, buckets), oldest bucket first."""
        return self._arrays[column]

    def names(self) -> list[tuple[str, ...]]:
        """Each series' key columns, by row."""
        return [tuple(text.split(SEPARATOR)) for text in self._known.to_pylist()]

    def names_of(self, row: int) -> tuple[str, ...]:
        """One series' key columns."""
        return tuple(str(self._known[row]).split(SEPARATOR))

    def starts(self) -> npt.NDArray[np.int64]:
        """Each column's bucket start, Unix seconds."""
        return self._newest - self.step_s * np.arange(self.buckets - 1, -1, -1, dtype=np.int64)

    def advance(self, newest: datetime) -> None:
        """Make the bucket that begins at `newest` the last column; going back in time changes nothing."""
        target = int(newest.timestamp()) // self.step_s * self.step_s
        if self._newest == 0:
            self._newest = target
        shift = (target - self._newest) // self.step_s
        if shift <= 0:
            return
        for column, array in self._arrays.items():
            moved = np.full_like(array, self._values[column])
            if shift < self.buckets:
                moved[:, : self.buckets - shift] = array[:, shift:]
            self._arrays[column] = moved
        self._newest = target

    def blank(self, first_keys: Collection[str]) -> None:
        """Forget what the series hold whose first key is among these; they stay known."""
        rows = [i for i, names in enumerate(self.names()) if names[0] in first_keys]
        for column, array in self._arrays.items():
            array[rows] = self._values[column]

    def crowded(self) -> bool:
        """Whether series were dropped while many of those followed have nothing left in any bucket."""
        if not self.dropped:
            return False
        empty = np.ones(self.size, np.bool_)
        for column, array in self._arrays.items():
            nothing = self._values[column]
            empty &= (np.isnan(array) if np.isnan(nothing) else array == nothing).all(axis=1)
        return bool(empty.mean() >= MOST_GONE)

    def place(self, table: pa.Table) -> None:
        """Overwrite the buckets that `table` covers: a later read of the same bucket knows more.

        Rows outside the ring are ignored; NaN and infinite values count as nothing reported.
        """
        if table.num_rows == 0 or self._newest == 0:
            return
        if "unit" in table.column_names:
            sent = table.select(["metric", "unit"]).group_by(["metric", "unit"]).aggregate([])
            self.units.update(zip(sent["metric"].to_pylist(), sent["unit"].to_pylist(), strict=True))
        texts = [pc.fill_null(pc.cast(table[key], pa.string()), "") for key in self._keys]
        key = pc.binary_join_element_wise(*texts, SEPARATOR) if len(texts) > 1 else texts[0]
        key = key.combine_chunks() if isinstance(key, pa.ChunkedArray) else key
        self._grow(key)
        row = pc.fill_null(pc.index_in(key, value_set=self._known), -1).to_numpy(zero_copy_only=False)
        seconds = pc.cast(pc.cast(table["bucket"], pa.timestamp("s", "UTC")), pa.int64())
        start = seconds.to_numpy(zero_copy_only=False) if hasattr(seconds, "to_numpy") else np.asarray(seconds)
        column = self.buckets - 1 - (self._newest - start) // self.step_s
        inside = (column >= 0) & (column < self.buckets) & (row >= 0)
        row, column = row[inside].astype(np.int64), column[inside].astype(np.int64)
        for name, empty in self._values.items():
            value = table[name].to_numpy(zero_copy_only=False).astype(np.float64)[inside]
            self._arrays[name][row, column] = np.where(np.isfinite(value), value, empty)

    def _grow(self, key: pa.Array) -> None:
        fresh = pc.unique(key)
        fresh = fresh.filter(pc.invert(pc.is_in(fresh, value_set=self._known)))
        room = max(0, self._max_series - self.size)
        if len(fresh) > room:
            DROPPED.labels(self.name).inc(len(fresh) - room)
            self.dropped += len(fresh) - room
            fresh = fresh.slice(0, room)
        if len(fresh) == 0:
            return
        self._known = pa.concat_arrays([self._known, fresh])
        for column, array in self._arrays.items():
            more = np.full((len(fresh), self.buckets), self._values[column])
            self._arrays[column] = np.concatenate([array, more])
        SERIES.labels(self.name).set(self.size)


def most_buckets(history: History, least: float) -> Counts[str]:
    """In how many buckets each service's busiest operation had at least so many `calls`."""
    most: Counts[str] = Counts()
    if history.size:
        seen = (history["calls"] >= least).sum(axis=1)
        for (service, *_), buckets in zip(history.names(), np.asarray(seen).tolist(), strict=True):
            most[service] = max(most[service], buckets)
    return most
