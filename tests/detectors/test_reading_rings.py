"""How often a history is read: no more often than it costs, and never later than its newest bucket is judged."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from detectors.histories import LAG_S, STEP_S, Ring
from detectors.history import History
from watchkeeper.vocabulary import Window, utc

NOTHING = pa.table({"bucket": pa.array([], pa.timestamp("s", "UTC")), "service": [], "lines": []})


@pytest.mark.parametrize("tick_s", [0.5, 2.0, 3.0, 7.0])
def test_a_history_that_is_loaded_once_a_bucket_is_read_as_often(tick_s: float) -> None:
    """Once for each bucket, at the first tick at which it is complete."""
    windows: list[Window] = []
    history = History("logs", keys=("service",), values={"lines": 0.0}, buckets=36, step_s=STEP_S)

    def read(_: object, window: Window, __: bool) -> list[pa.Table]:
        windows.append(window)
        return [NOTHING]

    ring = Ring(history=history, read=read, signal="logs", once_a_bucket=True)
    begun = utc(1_790_000_001)
    ticks = [begun + timedelta(seconds=tick_s * number) for number in range(40)]
    read_at = []
    for now in ticks:
        before = len(windows)
        ring.take(None, now)  # type: ignore[arg-type]
        read_at += [now] * (len(windows) - before)
    complete = [(now.timestamp() - LAG_S) // STEP_S for now in ticks]
    assert read_at == [now for index, now in enumerate(ticks) if index == 0 or complete[index] != complete[index - 1]]
