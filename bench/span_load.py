"""A cheap source of OTLP load: export requests serialised once, whose ids and times are patched in place.

Each request is one service's batch of server and client spans. The client spans of one request are the
parents of the server spans of the next, so that every call has two sides, as in a real system.
"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS: Final = 500
SERVICES: Final = 12
OPERATIONS: Final = 8
_CLIENT, _SERVER = 3, 2
# One byte string per patched field, found again in the serialised request: tag, length, sixteen or eight bytes.
_TRACE, _SPAN, _PARENT = b"\x0a\x10" + b"\xa1" * 16, b"\x12\x08" + b"\xa2" * 8, b"\x22\x08" + b"\xa3" * 8
_START, _END = b"\x39" + b"\xa4" * 8, b"\x41" + b"\xa5" * 8


class SpanLoad:
    """Makes requests of `size` spans (an even number); not for sharing between threads."""

    def __init__(self, seed: int, size: int = SPANS) -> None:
        self._random = np.random.default_rng(seed)
        self._size = size
        self._templates = [_Template(service, size) for service in range(SERVICES)]
        self._next = 0
        self._traces = self._random.integers(0, 256, (size // 2, 16), dtype=np.uint8)
        self._clients = self._random.integers(0, 256, (size // 2, 8), dtype=np.uint8)

    def request(self) -> bytes:
        """The next request; its spans have ended just now."""
        template = self._templates[self._next % SERVICES]
        self._next += 1
        spans = self._random.integers(0, 256, (self._size, 8), dtype=np.uint8)
        traces = self._random.integers(0, 256, (self._size, 16), dtype=np.uint8)
        traces[0::2] = self._traces
        durations = self._random.integers(1_000_000, 40_000_000, self._size, dtype=np.uint64)
        body = template.fill(traces, spans, self._clients, durations)
        self._traces, self._clients = traces[1::2], spans[1::2]
        return body


class _Template:
    def __init__(self, service: int, size: int) -> None:
        body = _request(service, size).SerializeToString()
        self.bytes = np.frombuffer(body, dtype=np.uint8).copy()
        self._trace = _places(body, _TRACE, 2, 16)
        self._span = _places(body, _SPAN, 2, 8)
        self._parent = _places(body, _PARENT, 2, 8)
        self._start = _places(body, _START, 1, 8)
        self._end = _places(body, _END, 1, 8)

    def fill(self, traces: Any, spans: Any, parents: Any, durations: Any) -> bytes:
        """`traces` (size, 16), `spans` (size, 8), `parents` (size / 2, 8), `durations` (size,) in ns."""
        now = np.uint64(time.time_ns())
        self.bytes[self._trace] = traces
        self.bytes[self._span] = spans
        self.bytes[self._parent] = parents
        self.bytes[self._start] = (now - durations).view(np.uint8).reshape(-1, 8)
        self.bytes[self._end] = np.full(len(durations), now).view(np.uint8).reshape(-1, 8)
        return self.bytes.tobytes()


def _places(body: bytes, marker: bytes, skip: int, size: int) -> Any:
    """Where the bytes of each occurrence are: shape (n, size)."""
    found, at = [], body.find(marker)
    while at >= 0:
        found.append(at + skip)
        at = body.find(marker, at + 1)
    return np.array(found)[:, None] + np.arange(size)


def _request(service: int, size: int) -> Any:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, text in (
        ("service.name", f"service-{service:02d}"),
        ("service.version", "1.4.2"),
        ("host.name", f"node-{service % 3}"),
        ("telemetry.sdk.language", "python"),
        ("deployment.environment.name", "production"),
    ):
        resource.resource.attributes.add(key=key).value.string_value = text
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.httpx"
    for index in range(size):
        is_client = index % 2
        path = f"/api/v1/things/{index // 2 % OPERATIONS}"
        span = scope.spans.add(
            trace_id=b"\xa1" * 16,
            span_id=b"\xa2" * 8,
            parent_span_id=b"" if is_client else b"\xa3" * 8,
            name=f"GET {path}",
            kind=_CLIENT if is_client else _SERVER,
            start_time_unix_nano=int.from_bytes(b"\xa4" * 8),
            end_time_unix_nano=int.from_bytes(b"\xa5" * 8),
        )
        span.status.code = 2 if index % 100 == 0 else 0
        for key, text in (
            ("http.request.method", "GET"),
            ("http.route", path),
            ("url.scheme", "http"),
            ("server.address", f"10.0.0.{(service + 1) % SERVICES}"),
            ("network.protocol.version", "1.1"),
        ):
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="http.response.status_code").value.int_value = 500 if index % 100 == 0 else 200
    return request
