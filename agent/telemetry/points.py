"""Readings as OTLP metrics: one request for the host and each instance of a service, in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

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
    """An ExportMetricsServiceRequest with all readings, in OTLP's JSON: the library for protobuf would take 2 MB."""
    request = {"resourceMetrics": [_resource(reading) for reading in readings]}
    return json.dumps(request, separators=(",", ":")).encode()


def _resource(reading: Reading) -> dict[str, Any]:
    metrics: dict[str, dict[str, Any]] = {}
    for point in reading.points:
        metric = metrics.setdefault(point.name, {"name": point.name, "unit": point.unit})
        _data(metric, point.kind)["dataPoints"].append(_point(point, reading))
    return {
        "resource": {"attributes": _attributes(reading.resource)},
        "scopeMetrics": [{"scope": {"name": SCOPE, "version": __version__}, "metrics": list(metrics.values())}],
    }


def _data(metric: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "gauge":
        data: dict[str, Any] = metric.setdefault("gauge", {"dataPoints": []})
    else:
        cumulative = {"aggregationTemporality": CUMULATIVE, "isMonotonic": kind == "counter"}
        data = metric.setdefault("sum", {**cumulative, "dataPoints": []})
    return data


def _point(point: Point, reading: Reading) -> dict[str, Any]:
    """Whole numbers and times are texts there, since JSON's numbers are doubles for many."""
    value = {"asInt": str(point.value)} if isinstance(point.value, int) else {"asDouble": point.value}
    began = {"startTimeUnixNano": str(reading.since_ns)} if point.kind == "counter" else {}
    return {"timeUnixNano": str(reading.at_ns), **began, **value, "attributes": _attributes(point.attributes)}


def _attributes(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]
