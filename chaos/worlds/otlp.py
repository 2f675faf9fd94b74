"""A simulated system's telemetry as OTLP requests: what its services' exporters would send.

Spans are those of `World.traces`: drawn from the same expectations as the recording's counts, and not from the counts
themselves. Metrics and log lines are the recording's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from chaos.worlds.recording import STEP_S, Recording
from chaos.worlds.traces import NS
from chaos.worlds.world import World

Signal = Literal["traces", "metrics", "logs"]
EXPORTED_EVERY_S: Final = 10  # what is sent together
MOST_JOURNEYS: Final = 1_000_000  # from outside in one such time: all of them
SEVERITY: Final[Mapping[str, int]] = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
KIND: Final[Mapping[str, int]] = {"Internal": 1, "Server": 2, "Client": 3, "Producer": 4, "Consumer": 5}
HISTOGRAM_COUNT: Final = 10  # observations behind a mean


def export(world: World, recording: Recording, until_s: int | None = None) -> Iterator[tuple[Signal, bytes]]:
    """Every request of every service, in the order of time, for so many seconds: signal and serialised protobuf."""
    resources = _Resources(recording)
    totals: dict[tuple[str, str, str], float] = {}
    last = min(until_s or recording.seconds, recording.seconds)
    for begin in range(0, last, EXPORTED_EVERY_S):
        end = min(begin + EXPORTED_EVERY_S, last)
        at = recording.start + end
        for service, rows in _by_service(world.traces(begin, end, MOST_JOURNEYS)):
            yield "traces", _spans(resources.of(service, at), rows)
        for service, rows in _by_service(_between(recording.metrics, recording.start + begin, recording.start + end)):
            yield "metrics", _metrics(resources.of(service, at), service, rows, totals)
        for service, rows in _by_service(_between(recording.logs, recording.start + begin, recording.start + end)):
            yield "logs", _logs(resources.of(service, at), rows)


class _Resources:
    """The resource attributes of each service's first instance, as they change."""

    def __init__(self, recording: Recording) -> None:
        self._known: dict[str, list[tuple[float, str, str]]] = {}
        first: dict[str, str] = {}
        for row in recording.resources.to_pylist():
            if row["instance"] == first.setdefault(row["service"], row["instance"]):
                known = self._known.setdefault(row["service"], [])
                known.append((float(row["at"]), row["attribute"], row["value"]))

    def of(self, service: str, at: float) -> dict[str, str]:
        now = {name: value for since, name, value in self._known.get(service, []) if since <= at}
        return {**now, "service.name": service}


def _between(table: pa.Table, begin: int, end: int) -> pa.Table:
    seconds = np.asarray(pc.cast(table["bucket"], pa.int64()))
    return table.filter(pa.array((seconds >= begin) & (seconds < end)))


def _by_service(table: pa.Table) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if table.num_rows:
        rows = table.sort_by("service").to_pylist()
        for service, group in groupby(rows, key=lambda row: str(row["service"])):
            yield service, list(group)


def _attributes(into: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        pair = into.add(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = str(value)


def _spans(resource: Mapping[str, str], rows: list[dict[str, Any]]) -> bytes:
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    _attributes(part.resource.attributes, resource)
    scope = part.scope_spans.add()
    for row in rows:
        span = scope.spans.add(
            trace_id=bytes.fromhex(row["trace"]),
            span_id=bytes.fromhex(row["span_id"]),
            parent_span_id=bytes.fromhex(row["parent_span_id"]),
            name=row["span_name"],
            kind=KIND[row["kind"]],
            start_time_unix_nano=row["start_ns"],
            end_time_unix_nano=row["start_ns"] + row["duration_ns"],
        )
        _attributes(span.attributes, json.loads(row["attributes"]))
        if row["status"] == "Error":
            span.status.code = 2
    return bytes(request.SerializeToString())


def _metrics(
    resource: Mapping[str, str],
    service: str,
    rows: list[dict[str, Any]],
    totals: dict[tuple[str, str, str], float],
) -> bytes:
    """Gauges as they are, rates as counters that have grown so much, means as histograms of a few observations."""
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    _attributes(part.resource.attributes, resource)
    scope = part.scope_metrics.add()
    for row in rows:
        metric = scope.metrics.add(name=row["metric"])
        at = int((row["bucket"].timestamp() + STEP_S / 2) * NS)
        if row["kind"] == "rate":
            key = (service, row["metric"], row["attributes"])
            totals[key] = totals.get(key, 0.0) + row["value"] * STEP_S
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            point = metric.sum.data_points.add(time_unix_nano=at, as_double=totals[key])
        elif row["kind"] == "mean":
            metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
            point = metric.histogram.data_points.add(
                time_unix_nano=at, count=HISTOGRAM_COUNT, sum=row["value"] * HISTOGRAM_COUNT
            )
        else:
            point = metric.gauge.data_points.add(time_unix_nano=at, as_double=row["value"])
        _attributes(point.attributes, json.loads(row["attributes"]))
    return bytes(request.SerializeToString())


def _logs(resource: Mapping[str, str], rows: list[dict[str, Any]]) -> bytes:
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add()
    _attributes(part.resource.attributes, resource)
    scope = part.scope_logs.add()
    for row in rows:
        begin = row["bucket"].timestamp()
        for number in range(row["lines"]):
            at = int((begin + STEP_S * (number + 0.5) / row["lines"]) * NS)
            record = scope.log_records.add(
                time_unix_nano=at,
                observed_time_unix_nano=at,
                severity_number=SEVERITY.get(row["severity"], 9),
                severity_text=row["severity"],
            )
            record.body.string_value = row["body"]
    return bytes(request.SerializeToString())
