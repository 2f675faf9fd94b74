"""Fills an embedded store for `bench dashboard`: the engine makes everything, half a million rows an INSERT … SELECT.

At scale 1: 10 million spans of 1,000 services, 1 million log lines, and 100,000 metric series with a point a minute,
over the last half hour. One service in fifty fails a part of its requests, and one in forty is slow.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchkeeper.errors import WatchkeeperError
from watchkeeper.store.statements import Statements

SECONDS: Final = 1800
BATCH: Final = 500_000
BYTES_A_ROW: Final = 400  # on disk at the most, with roll-ups, while parts are being merged
_RESOURCE: Final = (
    "map('service.name', service, 'service.namespace', concat('team-', toString(place % 20)), "
    "'telemetry.sdk.name', 'opentelemetry', 'telemetry.sdk.language', ['java', 'python', 'go'][place % 3 + 1], "
    "'telemetry.sdk.version', '1.39.0')"
)
_SERVICE: Final = "number % {services} AS place, concat('service-', leftPad(toString(place), 4, '0')) AS service"
# Even rows are a client's side and odd ones the server's side of the same call, to the next service.
_SPANS: Final = """
INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    ResourceAttributes, ScopeName, SpanAttributes, Duration, StatusCode)
WITH intDiv(number, 2) AS call, number % 2 = 1 AS serves, (call + serves) % {services} AS place,
    concat('service-', leftPad(toString(place), 4, '0')) AS service
SELECT fromUnixTimestamp64Milli(toInt64(({now} - {seconds} + call * {seconds} / {calls}) * 1000)),
    lower(hex(sipHash128(intDiv(call, 4)))), lower(hex(sipHash64(number))),
    if(serves, lower(hex(sipHash64(number - 1))), ''),
    concat('GET /resource-', toString(call % 5)), if(serves, 'Server', 'Client'), service,
    {resource}, 'bench', map('http.route', concat('/resource-', toString(call % 5)),
    'http.response.status_code', if(place % 50 = 0 AND call % 7 = 0, '500', '200')),
    toUInt64((20 + sipHash64(number) % 30) * if(place % 40 = 0, 8, 1) * 1000000),
    if(place % 50 = 0 AND call % 7 = 0, 'Error', 'Unset')
FROM numbers({first}, {rows})
"""
_LOGS: Final = """
INSERT INTO otel.otel_logs (Timestamp, TraceId, SeverityText, SeverityNumber, ServiceName, Body, ResourceAttributes,
    ScopeName, LogAttributes)
WITH {service}
SELECT fromUnixTimestamp64Milli(toInt64(({now} - {seconds} + number * {seconds} / {all}) * 1000)),
    lower(hex(sipHash128(number))), ['INFO', 'INFO', 'INFO', 'WARN', 'ERROR'][sipHash64(number) % 5 + 1],
    [9, 9, 9, 13, 17][sipHash64(number) % 5 + 1], service,
    concat('request ', toString(number), ' took ', toString(sipHash64(number) % 400), ' ms on shard ',
    toString(number % 12)), {resource}, 'bench', map('thread', toString(number % 8))
FROM numbers({first}, {rows})
"""
# A hundred metrics of each service: series number = metric number x services + place.
_POINT: Final = """
WITH number % {series} AS one, intDiv(number, {series}) AS minute, one % {services} AS place,
    intDiv(one, {services}) AS metric, concat('service-', leftPad(toString(place), 4, '0')) AS service
"""
_GAUGES: Final = (
    """
INSERT INTO otel.otel_metrics_gauge (ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription,
    MetricUnit, Attributes, TimeUnix, Value)
"""
    + _POINT
    + """
SELECT {resource}, 'bench', service, concat('bench.gauge.', toString(metric)), 'A level', 'By',
    map('pool', concat('pool-', toString(place % 4))), fromUnixTimestamp64Milli(toInt64({now} - {seconds} + minute * 60)
    * 1000), 1000000 * (1 + metric) + sipHash64(number) % 100000
FROM numbers({first}, {rows})
"""
)
_COUNTERS: Final = (
    """
INSERT INTO otel.otel_metrics_sum (ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription,
    MetricUnit, Attributes, TimeUnix, Value, AggregationTemporality, IsMonotonic)
"""
    + _POINT
    + """
SELECT {resource}, 'bench', service, concat('bench.counter.', toString(metric)), 'A count', '{{request}}',
    map('route', concat('/resource-', toString(place % 5))), fromUnixTimestamp64Milli(toInt64({now} - {seconds}
    + minute * 60) * 1000), minute * 60 * (1 + place % 9), 2, true
FROM numbers({first}, {rows})
"""
)
_HISTOGRAMS: Final = (
    """
INSERT INTO otel.otel_metrics_histogram (ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription,
    MetricUnit, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds, AggregationTemporality)
"""
    + _POINT
    + """
SELECT {resource}, 'bench', service, concat('bench.duration.', toString(metric)), 'A duration', 's',
    map('http.route', concat('/resource-', toString(place % 5))),
    fromUnixTimestamp64Milli(toInt64({now} - {seconds} + minute * 60 - 60) * 1000),
    fromUnixTimestamp64Milli(toInt64({now} - {seconds} + minute * 60) * 1000), 100, 5, [20, 50, 20, 8, 2],
    [0.01, 0.05, 0.1, 0.5], 1
FROM numbers({first}, {rows})
"""
)
# What the ingest role's periodic join would have made: each service calls the next one.
_EDGES: Final = """
INSERT INTO otel.edges (bucket, caller, callee, source, calls, errors, client_ns_sum, server_calls, server_ns_sum)
WITH number % {services} AS place
SELECT toDateTime(intDiv({now} - {seconds} + intDiv(number, {services}) * 5, 5) * 5),
    concat('service-', leftPad(toString(place), 4, '0')),
    concat('service-', leftPad(toString((place + 1) % {services}), 4, '0')), 'span', {calls_a_bucket}, 0,
    {calls_a_bucket} * 35000000, {calls_a_bucket}, {calls_a_bucket} * 33000000
FROM numbers({rows})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is filled in."""

    spans: int
    log_lines: int
    services: int
    series: int

    @classmethod
    def of(cls, scale: float) -> Size:
        """The sizes of the goal, times `scale`; at least ten services."""
        services = max(10, round(1000 * scale))
        return cls(
            spans=max(2000, round(10_000_000 * scale)),
            log_lines=max(500, round(1_000_000 * scale)),
            services=services,
            series=100 * services,
        )


def fill(store: Statements, folder: Path, size: Size, now: int, *, most_gib: float) -> float:
    """Fill the store; returns the seconds that it took. `now` is where the half hour ends, in Unix seconds.

    Raises:
        WatchkeeperError: it would take more than `most_gib` on disk, or more than there is free.
        StoreError: the store rejected a statement, or could not be reached.
    """
    minutes = SECONDS // 60
    rows = size.spans + size.log_lines + size.series * minutes
    need = rows * BYTES_A_ROW
    free = shutil.disk_usage(folder).free
    if need > most_gib * 2**30 or need > free * 0.8:
        raise WatchkeeperError(
            f"{rows:,} rows may take {need / 2**30:.1f} GiB; allowed are {most_gib:g} GiB, free are "
            f"{free / 2**30:.1f} GiB. Choose a lower --scale, another --keep, or a higher --most-gib."
        )
    began, done = time.monotonic(), 0
    for what, sql, count in _parts(size, minutes, now):
        store.run(sql)
        done += count
        if sys.stderr.isatty() or done == rows or done % (10 * BATCH) < count:
            print(
                f"{done / rows:4.0%} {what}: {done:,} of {rows:,} rows, {time.monotonic() - began:.0f} s",
                file=sys.stderr,
            )
    buckets = SECONDS // 5
    calls = max(1, size.spans // 2 // size.services // buckets)
    edges = _EDGES.format(
        services=size.services, now=now, seconds=SECONDS, calls_a_bucket=calls, rows=size.services * buckets
    )
    store.run(edges)
    return time.monotonic() - began


def _parts(size: Size, minutes: int, now: int) -> Iterator[tuple[str, str, int]]:
    common = {"services": size.services, "now": now, "seconds": SECONDS, "resource": _RESOURCE}
    for first, rows in _batches(size.spans):
        yield "spans", _SPANS.format(**common, calls=size.spans // 2, first=first, rows=rows), rows
    for first, rows in _batches(size.log_lines):
        named = {"service": _SERVICE.format(services=size.services), "all": size.log_lines}
        yield "log lines", _LOGS.format(**common, **named, first=first, rows=rows), rows
    for template, metrics in ((_GAUGES, 75), (_COUNTERS, 15), (_HISTOGRAMS, 10)):
        series = metrics * size.services
        for first, rows in _batches(series * minutes):
            yield "metric points", template.format(**common, series=series, first=first, rows=rows), rows


def _batches(rows: int) -> Iterator[tuple[int, int]]:
    for first in range(0, rows, BATCH):
        yield first, min(BATCH, rows - first)
