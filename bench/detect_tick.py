"""The live detectors' tick over a large installation: real roll-ups in a real engine, the store's query included."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.own_roles import OwnRoles, loader_of
from detectors.live import Live
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window, utc

SERVICES, OPERATIONS = 1_000, 20
HISTORY_S = 1_800
TICK_S = 10
STEP_S = 5
TICKS = 12
AT = 1_800_000_000  # a quiet instant; the roll-ups are written for the half hour before it

# One row a series and bucket, as the materialized view of a busy hour would write them.
_FILL = """
INSERT INTO {database}.red
SELECT toDateTime({start} + {step} * bucket, 'UTC') AS bucket,
       concat('service-', toString(intDiv(series, {operations}))) AS service,
       concat('operation-', toString(series % {operations})) AS operation, 'Server' AS kind,
       toUInt64(20 + rand(1) % 10) AS calls, toUInt64(rand(2) % 200 = 0) AS errors,
       toUInt64(calls * (20000000 + rand(3) % 4000000)) AS duration_ns_sum, toUInt64(90000000) AS duration_ns_max,
       quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(toUInt64(20000000)) AS latency
FROM (SELECT intDiv(number, {series}) AS bucket, number % {series} AS series FROM numbers({rows}))
GROUP BY bucket, series, service, operation, kind, calls, errors, duration_ns_sum, duration_ns_max
"""


def tick_rows() -> list[dict[str, Any]]:
    """Wall and CPU seconds of a 10-second tick over 1,000 services × 20 operations, and what the store took of it."""
    with tempfile.TemporaryDirectory() as folder, OwnRoles(Path(folder)) as roles:
        roles.start("store")
        loader = loader_of(roles.config)
        _say(f"filling {HISTORY_S // 60} minutes of roll-ups of {SERVICES * OPERATIONS:,} series")
        chunk = 300
        for start in range(AT - HISTORY_S, AT, chunk):
            _fill(loader, roles.config.store.database, start, chunk)
        telemetry = roles.telemetry
        live = Live(history_s=HISTORY_S)
        began = time.perf_counter()
        live.tick(telemetry, utc(AT + 3.0))
        first = time.perf_counter() - began
        wall, own, asked = [], [], []
        for tick in range(1, TICKS + 1):
            now = AT + tick * TICK_S
            _fill(loader, roles.config.store.database, now - TICK_S, TICK_S)
            began, cpu = time.perf_counter(), time.process_time()
            live.tick(telemetry, utc(now + 3.0))
            wall.append(time.perf_counter() - began)
            own.append(time.process_time() - cpu)
            began = time.perf_counter()
            telemetry.red_levels(Window(start=utc(float(now - 40)), end=utc(float(now + 5))))
            asked.append(time.perf_counter() - began)
            _say(f"tick {tick} of {TICKS}: {wall[-1]:.2f} s")
    return [
        {
            "tick": f"{SERVICES:,} services x {OPERATIONS} operations",
            "seconds, median": float(np.median(wall)),
            "seconds, worst": float(np.max(wall)),
            "own CPU seconds": float(np.median(own)),
            "of it the store's query": float(np.median(asked)),
            "first tick (reads all)": first,
            "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    ]


def _fill(loader: Statements, database: str, start: int, seconds: int) -> None:
    series = SERVICES * OPERATIONS
    rows = seconds // STEP_S * series
    loader.run(
        _FILL.format(database=database, start=start, step=STEP_S, operations=OPERATIONS, series=series, rows=rows)
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
