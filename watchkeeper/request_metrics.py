"""Which metrics are of requests that a service served or made, by what their names and attributes mean.

Names are those of OpenTelemetry and Prometheus; errors are known by the status in the attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from watchkeeper.metric_names import measure

OTHERS: Final = re.compile(
    r"client|outgoing|upstream|active|in.?flight|pending|queue|size|bytes|length|budget|[._](sum|max|min|bucket)$",
    re.IGNORECASE,
)
DURATION: Final = re.compile(
    r"(request|server|call|response|http|rpc|grpc).*(duration|latency|time|seconds|millis)", re.IGNORECASE
)
# A duration is a mean of a histogram, unless its name says that it is the histogram's count.
COUNT: Final = re.compile(
    r"(request|call|handled|served)s?((_seconds|[._]duration\w*)?[._]count|[._](total|rate))?$", re.IGNORECASE
)
FAILED: Final = re.compile(r"(error|failure|exception|fault)s?([._](total|count|rate))?$", re.IGNORECASE)
STATUS: Final = re.compile(r"status|code|outcome|result", re.IGNORECASE)
# HTTP 5xx; gRPC codes that are the server's; words of frameworks.
BAD: Final = re.compile(
    r"5\d\d|5xx|server_?error|error|fail\w*|exception|unknown|internal|unavailable|deadline_?exceeded|data_?loss",
    re.IGNORECASE,
)
BAD_GRPC: Final = frozenset({"2", "4", "13", "14", "15"})
PLACE: Final = re.compile(r"route|method|path|uri|handler|endpoint|operation|verb", re.IGNORECASE)
# Of requests that a service makes itself; waiting for a connection is no call.
MADE: Final = re.compile(r"client|outgoing|outbound|upstream|messaging.*(publish|send)", re.IGNORECASE)
NO_CALLS: Final = re.compile(
    r"active|in.?flight|pending|queue|size|bytes|length|budget|connection|pool|[._](sum|max|min|bucket)$", re.IGNORECASE
)
MADE_DURATION: Final = re.compile(r"duration|latency|seconds|millis", re.IGNORECASE)
# Whom they are made to: the most telling attribute first. Former names of OpenTelemetry are among them.
CALLED: Final = (
    "peer.service",
    "server.address",
    "net.peer.name",
    "rpc.service",
    "db.namespace",
    "db.name",
    "messaging.destination.name",
    "db.system.name",
    "db.system",
    "messaging.system",
)
IN_MS: Final = re.compile(r"milli|_ms\b|\.ms\b|^(http|rpc)\.(server|client)\.duration$", re.IGNORECASE)
SECONDS_BELOW: Final = 5.0  # a usual duration above it is in milliseconds, whatever the name does not say
Role = Literal["calls", "errors", "duration"]


def role_of(metric: str) -> Role | None:
    """What a metric of requests measures by its name; None for one of something else, and for extremes and sums."""
    if OTHERS.search(metric):
        return None
    if COUNT.search(metric):
        return "calls"
    if FAILED.search(metric) and re.search(r"request|http|rpc|server", metric, re.IGNORECASE):
        return "errors"
    return "duration" if DURATION.search(metric) else None


def counts_failures(metric: str, role: Role, labels: Mapping[str, str]) -> bool:
    """Whether a series is of requests that failed, by its role, the status in its attributes, or its name."""
    status = [value for key, value in labels.items() if STATUS.search(key)]
    if role == "errors" or any(BAD.fullmatch(one) or one in BAD_GRPC for one in status):
        return True
    return role != "duration" and not status and bool(re.search(r"[._]5(\d\d|xx)[._]", metric))


def operation_of(labels: Mapping[str, str]) -> str:
    """The operation that a series' attributes name; empty where they name none."""
    return " ".join(value for key, value in sorted(labels.items()) if PLACE.search(key))


def role_of_made(metric: str) -> Role | None:
    """What a metric of requests that a service makes measures, by its name; None for one of something else."""
    if not MADE.search(metric) or NO_CALLS.search(metric):
        return None
    if FAILED.search(metric):
        return "errors"
    if COUNT.search(metric) or re.search(r"[._]count$", metric):
        return "calls"
    return "duration" if MADE_DURATION.search(metric) else None


def called(labels: Mapping[str, str]) -> str:
    """Whom requests are made to, as the attributes name it; empty where they don't."""
    return next((labels[key] for key in CALLED if labels.get(key)), "")


def in_milliseconds(metric: str, unit: str, usual: float) -> bool:
    """Whether a duration is in milliseconds: by the unit that was sent, by its name, or by what is usual."""
    scale, dimension = measure(metric, 1.0, unit)
    if unit and dimension == "s":
        return scale < SECONDS_BELOW * 1e-3
    return bool(IN_MS.search(metric)) or usual >= SECONDS_BELOW
