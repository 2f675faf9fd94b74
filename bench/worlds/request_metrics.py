"""Requests of services that send no spans, from their metrics: what Prometheus' rules are usually written on."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaos.worlds.recording import Recording

COUNTED: Final = r"server\.requests$"  # requests a second by status
TIMED: Final = r"server\.(request\.)?duration$"  # means
FAILED_RPC: Final = frozenset({"2", "4", "8", "13", "14", "15"})  # of gRPC's codes, those that are the server's failure
SECONDS_BELOW: Final = 5.0  # a usual duration below is taken for seconds, which its team would know


def counted(recording: Recording) -> pa.Table:
    """bucket, service, calls and errors (requests a second, which make the same shares as counts)."""
    table = _of_untraced(recording, COUNTED)
    status = [_status(text) for text in table["attributes"].to_pylist()]
    bad = np.array([(code.startswith("5") and len(code) == 3) or code in FAILED_RPC for code in status], dtype=bool)
    value = np.nan_to_num(np.asarray(table["value"].to_numpy(), dtype=np.float64))
    return pa.table(
        {
            "bucket": table["bucket"],
            "service": table["service"],
            "calls": pa.array(value, pa.float64()),
            "errors": pa.array(np.where(bad, value, 0.0), pa.float64()),
        }
    )


def timed(recording: Recording) -> pa.Table:
    """bucket, service, p95_ms and calls (1 each): a mean stands for the quantile, which moves with it."""
    table = _of_untraced(recording, TIMED)
    value = np.asarray(table["value"].to_numpy(), dtype=np.float64)
    known = np.isfinite(value)
    table, value = table.filter(pa.array(known)), value[known]
    if len(value) and np.median(value) < SECONDS_BELOW:
        value = value * 1000.0
    ones = pa.array(np.ones(len(value)), pa.float64())
    return pa.table(
        {"bucket": table["bucket"], "service": table["service"], "p95_ms": pa.array(value, pa.float64()), "calls": ones}
    )


def _of_untraced(recording: Recording, metric: str) -> pa.Table:
    table = recording.metrics
    traced = pc.unique(pc.cast(recording.red["service"], pa.string()))
    untraced = pc.invert(pc.is_in(pc.cast(table["service"], pa.string()), value_set=traced))
    return table.filter(pc.and_(untraced, pc.match_substring_regex(table["metric"], metric)))


def _status(attributes: str) -> str:
    """The value of whichever attribute is a status; empty where none is."""
    return next((str(value) for name, value in json.loads(attributes).items() if name.endswith("status_code")), "")
