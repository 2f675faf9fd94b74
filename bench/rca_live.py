"""A live diagnosis over millions of spans: real tables in a real engine, one service slow since the onset.

As in a running installation, the roll-up of call edges is some seconds behind, metrics come every five seconds, and
services log warnings.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.own_roles import OwnRoles, loader_of
from rca.live import diagnose as live
from rca.live.incident import LiveIncident
from rca.live.traces import read_traces
from rca.registry import read_engine
from watchkeeper.store import edges
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import utc

SERVICES, OPERATIONS, DEPTH = 50, 20, 5
WINDOW_S, FAULT_S = 600, 45
ROUNDS = 11
CHUNK = 500_000
CULPRIT = 7
AT = 1_800_000_000
EDGES_BEHIND_S = 15
SERIES, LINES_PER_S = 20, 5  # of each service

# A trace is a chain of DEPTH services: a server span, and below it a client span to the next service. The culprit's own
# part of each request takes 0.4 s more since the onset, and all above it wait.
_FILL = """
INSERT INTO {database}.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    ResourceAttributes, SpanAttributes, Duration, StatusCode)
SELECT toDateTime64(ended - slow / 1e9 - (2 * {depth} - place) * 0.004, 9, 'UTC'),
    leftPad(lower(hex(trace)), 32, '0'), leftPad(lower(hex(number + 1)), 16, '0'),
    if(place = 0, '', leftPad(lower(hex(number)), 16, '0')),
    if(server, concat('GET /', toString(trace % {operations})), 'GET'), if(server, 'Server', 'Client'),
    concat('service-', toString(own)), map('service.name', concat('service-', toString(own))),
    if(server, map(), map(
        'server.address', concat('service-', toString((h + (hop + 1) * 11) % {services})),
        'http.response.status_code', '200')),
    toUInt64(slow + (2 * {depth} - place) * 4000000 + rand() % 1000000), 'Unset'
FROM (
    SELECT number, intDiv(number, 2 * {depth}) AS trace, number % (2 * {depth}) AS place, intDiv(place, 2) AS hop,
        place % 2 = 0 AS server, {start} + {window} * (trace / {traces}) AS ended, cityHash64(trace) % {services} AS h,
        (h + hop * 11) % {services} AS own, range(if(server, hop, hop + 1), {depth}) AS below,
        if(ended >= {onset} AND arrayExists(x -> (h + x * 11) % {services} = {culprit}, below), 4e8, 0) AS slow
    FROM numbers({first}, {count})
    WHERE place < 2 * {depth} - 1)
"""

_METRICS = """
INSERT INTO {database}.otel_metrics_gauge (TimeUnix, ServiceName, MetricName, ResourceAttributes, Value)
SELECT toDateTime64({start} + 5 * intDiv(number, {services} * {series}), 9, 'UTC'),
    concat('service-', toString(number % {services})) AS service,
    concat('process.cpu.utilization.', toString(intDiv(number, {services}) % {series})),
    map('service.name', service), 0.1 + rand() / 4294967296 * 0.02
FROM numbers({services} * {series} * intDiv({window}, 5))
"""
_LOGS = """
INSERT INTO {database}.otel_logs (Timestamp, TimestampTime, ServiceName, SeverityText, SeverityNumber, Body)
SELECT toDateTime64({start} + number / ({services} * {lines}), 9, 'UTC') AS at, toDateTime(at),
    concat('service-', toString(number % {services})), 'WARN', 13,
    concat('request ', toString(rand()), ' took the slow way ', toString(number % 20 + 1))
FROM numbers({services} * {lines} * {window})
"""


def rows(spans: int, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Seconds of `rca.live.diagnose.diagnose` with that many spans in its ten minutes, and the store's memory."""
    with tempfile.TemporaryDirectory() as folder, OwnRoles(Path(folder)) as roles:
        roles.start("store")
        database = roles.config.store.database
        loader = loader_of(roles.config)
        onset = AT - FAULT_S
        _fill(loader, database, spans, onset)
        for fill in (_METRICS, _LOGS):
            loader.run(
                fill.format(
                    database=database,
                    start=AT - WINDOW_S,
                    window=WINDOW_S,
                    services=SERVICES,
                    series=SERIES,
                    lines=LINES_PER_S,
                )
            )
        for begin in range(AT - WINDOW_S, AT - EDGES_BEHIND_S, 5):
            for statement in edges.statements(database, begin, str(begin)):
                loader.run(statement)
        telemetry = roles.telemetry
        stored = telemetry.query(f"SELECT count() AS n FROM {database}.otel_traces")["n"][0].as_py()
        engine = read_engine()
        seconds, traces, sampled, first = [], [], 0, ""
        for number in range(rounds):
            began = time.perf_counter()
            found = live.diagnose(telemetry, engine, LiveIncident(onset=utc(float(onset)), now=utc(float(AT))))
            seconds.append(time.perf_counter() - began)
            first = found.suspects[0].service
            began = time.perf_counter()
            sample, _ = read_traces(telemetry, onset - live.SHORT_BASELINE_S, onset, AT)
            traces.append(time.perf_counter() - began)
            sampled = sample.size if sample else 0
            _report(f"diagnosis {number + 1} of {rounds}: {seconds[-1]:.2f} s")
        store = psutil.Process(roles.processes["store"].pid)
        return [
            {
                "live diagnosis": f"{stored:,} spans, {SERVICES} services x {OPERATIONS} operations",
                "seconds, first (libraries load)": round(seconds[0], 3),
                "seconds, p50": round(float(np.median(seconds[1:])), 3),
                "seconds, p95": round(float(np.quantile(seconds[1:], 0.95)), 3),
                "of which whole traces, p50": f"{np.median(traces):.3f} ({sampled:,} spans)",
                "culprit first": "yes" if first == f"service-{CULPRIT}" else f"no: {first}",
                "store MiB": store.memory_info().rss // 2**20,
            }
        ]


def _fill(loader: Statements, database: str, spans: int, onset: int) -> None:
    total = spans // (2 * DEPTH - 1) * 2 * DEPTH
    for first in range(0, total, CHUNK):
        loader.run(
            _FILL.format(
                database=database,
                depth=DEPTH,
                operations=OPERATIONS,
                services=SERVICES,
                culprit=CULPRIT,
                window=WINDOW_S,
                start=AT - WINDOW_S,
                onset=onset,
                traces=total / (2 * DEPTH),
                first=first,
                count=min(CHUNK, total - first),
            )
        )
        _report(f"filled {min(first + CHUNK, total):,} of {total:,}")


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
