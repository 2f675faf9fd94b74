"""Rows of a recording by time: those of a window that have arrived by a moment, without a loop over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.vocabulary import Window

ARRIVES_S = 2.0  # after a bucket's end its rows are in the store, unless the service's telemetry is late
Floats = npt.NDArray[np.float64]
SECONDS = pa.timestamp("s", "UTC")


class RecordedRows:
    """One table of a recording.

    Args:
        table: has a column `bucket`, timestamps in seconds.
        step_s: seconds in a bucket.
        after_s: by which the rows of each reporter arrive later than `ARRIVES_S` after their bucket's end.
        reporter: the column that names who reports.
    """

    def __init__(self, table: pa.Table, step_s: int, after_s: Mapping[str, float], reporter: str = "service") -> None:
        self.table = table.sort_by("bucket").combine_chunks()
        self.step_s = step_s
        self.starts = starts_of(self.table)
        self._arrivals: Floats = self.starts + (step_s + ARRIVES_S) + late_by(self.table[reporter], after_s)

    def of(self, window: Window, now: float) -> pa.Table:
        """The rows whose bucket begins in the window, as far as they have arrived by `now` (Unix seconds)."""
        low, high = np.searchsorted(self.starts, [window.start.timestamp(), window.end.timestamp()])
        part = self.table.slice(low, high - low)
        arrived = self._arrivals[low:high] <= now
        return part if arrived.all() else part.filter(pa.array(arrived))

    def arrivals_of(self, rows: npt.NDArray[np.int64]) -> Floats:
        """When some rows arrive, Unix seconds."""
        return self._arrivals[rows]


class Newest:
    """The end of each service's newest rows and how many there are, for any window and moment.

    Each service's buckets are sorted once; a look costs two searches a service.
    """

    def __init__(self, rows: RecordedRows, count: str | None) -> None:
        """`count` is the column whose sum is the number of rows; None counts the table's own rows."""
        table = rows.table
        counts = np.ones(table.num_rows) if count is None else np.asarray(table[count].to_numpy(), dtype=np.float64)
        code = pc.cast(table["service"], pa.string()).combine_chunks().dictionary_encode()
        names = code.dictionary.to_pylist()
        place = np.asarray(code.indices)
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(len(names) + 1))
        self._step_s = rows.step_s
        self._services: dict[str, tuple[Floats, Floats, Floats]] = {}
        for number, name in enumerate(names):
            own = order[ends[number] : ends[number + 1]]
            total = np.concatenate([[0.0], np.cumsum(counts[own])])
            # All of a service's rows are as late as each other, so its arrivals are sorted, too.
            self._services[name] = rows.starts[own], rows.arrivals_of(own), total

    def of(self, window: Window, now: float) -> pa.Table:
        """Columns: service, newest (timestamp, UTC), rows (int64)."""
        names, newest, rows = [], [], []
        for name, (starts, arrivals, total) in self._services.items():
            low, high = np.searchsorted(starts, [window.start.timestamp(), window.end.timestamp()])
            high = min(int(high), int(np.searchsorted(arrivals, now, side="right")))
            if high > low:
                names.append(name)
                newest.append(int(starts[high - 1]) + self._step_s)
                rows.append(int(total[high] - total[low]))
        return pa.table(
            {
                "service": pa.array(names, pa.string()),
                "newest": pa.array(newest, SECONDS),
                "rows": pa.array(rows, pa.int64()),
            }
        )


def late_by(reporters: pa.ChunkedArray, after_s: Mapping[str, float]) -> Floats:
    """By how many seconds each row arrives later than usual; 0 for reporters that are not in `after_s`."""
    late = pa.array(list(after_s), pa.string())
    place = pc.fill_null(pc.index_in(pc.cast(reporters, pa.string()), value_set=late), -1)
    seconds: Floats = np.array([*after_s.values(), 0.0])[place.to_numpy()]
    return seconds


def starts_of(table: pa.Table) -> Floats:
    """The bucket of each row, Unix seconds."""
    return np.asarray(pc.cast(pc.cast(table["bucket"], SECONDS), pa.int64()).to_numpy(), dtype=np.float64)


def rebucketed(table: pa.Table, step_s: int) -> pa.Table:
    """The table with the start of the larger bucket in which each row lies."""
    start = (starts_of(table) // step_s * step_s).astype(np.int64)
    place = table.schema.get_field_index("bucket")
    return table.set_column(place, "bucket", pa.array(start).cast(SECONDS))


def summed(table: pa.Table, keys: Sequence[str], *values: tuple[str, str]) -> pa.Table:
    """One row for each combination of `keys`; `values` are columns, each with what is made of it (`sum`, `mean`, …)."""
    grouped = table.group_by(list(keys)).aggregate(list(values))
    renamed = {f"{name}_{how}": name for name, how in values}
    return grouped.rename_columns([renamed.get(name, name) for name in grouped.column_names])
