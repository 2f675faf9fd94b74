"""Readings as OTLP metrics: one request for the host and each instance of a service, in protobuf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from watchkeeper import __version__

SCOPE: Final = "watchkeeper.agent"
CUMULATIVE: Final = 2  # AggregationTemporality


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one metric.

    Attributes:
        kind: `gauge`; `counter`: only grows; `updown`: a sum over the points of one metric.
    """

    name: str
    unit: str
    value: float
    kind: Literal["gauge", "counter", "updown"] = "gauge"
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one resource: the host, or one instance of a service. Times are Unix nanoseconds."""

    resource: Mapping[str, str]
    points: Sequence[Point]
    since_ns: int  # when its counters were 0
    at_ns: int


def encoded(readings: Sequence[Reading]) -> bytes:
    """An ExportMetricsServiceRequest with all readings."""
    request = ExportMetricsServiceRequest()
    for reading in readings:
        resource = request.resource_metrics.add()
        for key, text in reading.resource.items():
            resource.resource.attributes.add(key=key).value.string_value = text
        scope = resource.scope_metrics.add()
        scope.scope.name, scope.scope.version = SCOPE, __version__
        metrics: dict[str, Any] = {}
        for point in reading.points:
            if point.name not in metrics:
                metrics[point.name] = scope.metrics.add(name=point.name, unit=point.unit)
            data = _data(metrics[point.name], point.kind).data_points.add(time_unix_nano=reading.at_ns)
            if point.kind == "counter":
                data.start_time_unix_nano = reading.since_ns
            if isinstance(point.value, int):
                data.as_int = point.value
            else:
                data.as_double = point.value
            for key, text in point.attributes.items():
                data.attributes.add(key=key).value.string_value = text
    return bytes(request.SerializeToString())


def _data(metric: Any, kind: str) -> Any:
    if kind == "gauge":
        return metric.gauge
    metric.sum.aggregation_temporality = CUMULATIVE
    metric.sum.is_monotonic = kind == "counter"
    return metric.sum
