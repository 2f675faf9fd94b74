"""The receivers' HTTP port: OTLP, change events, Alertmanager's webhook, and the role's own health.

A plain ASGI application: at hundreds of requests a second of half a thousand spans each, a framework's
routing and validation would cost more than the work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from prometheus_client import Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from collectors.otlp import MalformedError, TooLargeError, accept, count_refusal, from_json, unzip
from watchkeeper.config import Config
from watchkeeper.errors import CollectorError, IngestLogError, WatchkeeperError
from watchkeeper.ingest_log.segments import IngestLog, OverloadedError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
# Takes a decoded JSON body; returns what to answer. Raises ValueError or WatchkeeperError on a bad one.
JsonSink = Callable[[Any], dict[str, Any]]

ACK_SECONDS = Histogram(
    "watchkeeper_otlp_ack_seconds",
    "From the whole request to the ack.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
PATHS: Final = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
EMPTY_RESPONSE: Final[dict[str, bytes]] = {
    "traces": ExportTraceServiceResponse().SerializeToString(),
    "metrics": ExportMetricsServiceResponse().SerializeToString(),
    "logs": ExportLogsServiceResponse().SerializeToString(),
}
RETRY_AFTER_S: Final = 2
INVALID_ARGUMENT, UNAUTHENTICATED, UNAVAILABLE, RESOURCE_EXHAUSTED = 3, 16, 14, 8


class HttpReceiver:
    """The ASGI application. `sinks` maps a path to what takes its JSON, with the scope that a token needs."""

    def __init__(
        self, config: Config, log: IngestLog, sinks: dict[str, tuple[str, JsonSink]], is_ready: Callable[[], str | None]
    ) -> None:
        self._config = config
        self._log = log
        self._sinks = sinks
        self._is_ready = is_ready
        self._limit = config.ingest.max_request_mib << 20
        self._otlp_needs_token = any("ingest" in token.scopes for token in config.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if method == "GET" and path in ("/healthz", "/readyz", "/metrics"):
            await self._health(path, send)
        elif path in PATHS and method == "POST":
            await self._otlp(PATHS[path], headers, receive, send)
        elif path in self._sinks and method == "POST":
            await self._json(path, headers, receive, send)
        elif path in PATHS or path in self._sinks:
            await _answer(send, 405, b'{"error": "use POST"}', [("allow", "POST")])
        else:
            known = ", ".join([*PATHS, *self._sinks])
            await _answer(send, 404, json.dumps({"error": f"no such path; POST to one of {known}"}).encode())

    async def _otlp(self, signal: str, headers: dict[str, str], receive: Receive, send: Send) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json"
        if kind not in ("application/json", "application/x-protobuf"):
            text = f"Content-Type {kind or '(none)'} is not OTLP; send application/x-protobuf or application/json"
            await _status(send, 415, INVALID_ARGUMENT, text, is_json=True)
            return
        if self._otlp_needs_token and not self._allowed(headers, "ingest"):
            await _status(send, 401, UNAUTHENTICATED, "a bearer token with the scope ingest is needed", is_json=is_json)
            return
        clock = asyncio.get_running_loop().time
        try:
            body = await self._body(headers, receive)
            began = clock()
            done = accept(self._log, signal, from_json(signal, body) if is_json else body)
            if done is not None:
                await asyncio.wrap_future(done)
        except (CollectorError, IngestLogError) as error:
            count_refusal(signal, error)
            status, code = _refusal(error)
            await _status(send, status, code, error.message, is_json=is_json)
        else:
            ACK_SECONDS.observe(clock() - began)
            answer = b"{}" if is_json else EMPTY_RESPONSE[signal]
            await _answer(send, 200, answer, kind="application/json" if is_json else "application/x-protobuf")

    async def _json(self, path: str, headers: dict[str, str], receive: Receive, send: Send) -> None:
        needed, sink = self._sinks[path]
        open_here = needed == "ingest" and not self._otlp_needs_token
        if not open_here and not self._allowed(headers, needed):
            text = f"a bearer token with the scope {needed} is needed; make one with `watchkeeper token new`"
            await _answer(send, 401, json.dumps({"error": text}).encode(), [("www-authenticate", "Bearer")])
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # A page in a browser may send other types here without asking first.
            await _answer(send, 415, b'{"error": "send Content-Type application/json"}')
            return
        try:
            tree = json.loads(await self._body(headers, receive))
            answer = await asyncio.to_thread(sink, tree)
        except MalformedError as error:
            await _answer(send, 400, json.dumps({"error": error.message}).encode())
        except (ValueError, RecursionError) as error:
            await _answer(send, 400, json.dumps({"error": str(error)}).encode())
        except WatchkeeperError as error:
            status = 503 if error.retry else 400
            headers_out = [("retry-after", str(RETRY_AFTER_S))] if error.retry else []
            await _answer(send, status, json.dumps({"error": error.message}).encode(), headers_out)
        else:
            await _answer(send, 200, json.dumps(answer).encode())

    async def _health(self, path: str, send: Send) -> None:
        if path == "/metrics":
            await _answer(send, 200, generate_latest(), kind=CONTENT_TYPE_LATEST)
            return
        missing = self._is_ready() if path == "/readyz" else None
        await _answer(send, 503 if missing else 200, (missing or "ok").encode(), kind="text/plain")

    def _allowed(self, headers: dict[str, str], scope: str) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._config.token_allows(token, scope)

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise MalformedError("the connection closed before the body was whole")
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise TooLargeError(
                    f"the body is over {self._limit >> 20} MiB (ingest.max_request_mib); send less at once"
                )
            parts.append(part)
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        match headers.get("content-encoding", "").lower():
            case "" | "identity":
                return body
            case "gzip":
                return unzip(body, self._limit)
            case other:
                raise MalformedError(f"Content-Encoding {other} is not supported; send gzip or none")


def _refusal(error: CollectorError | IngestLogError) -> tuple[int, int]:
    """The HTTP status and google.rpc code: a client tries again after 429 and 503, and after nothing else."""
    match error:
        case TooLargeError():
            return 413, INVALID_ARGUMENT
        case OverloadedError():
            return 429, RESOURCE_EXHAUSTED
        case IngestLogError():
            return 503, UNAVAILABLE
        case _:
            return 400, INVALID_ARGUMENT


async def _status(send: Send, status: int, code: int, text: str, *, is_json: bool) -> None:
    """An error as OTLP says: a google.rpc.Status in the request's own encoding."""
    extra = [("retry-after", str(RETRY_AFTER_S))] if status in (429, 503) else []
    if is_json:
        await _answer(send, status, json.dumps({"code": code, "message": text}).encode(), extra)
    else:
        body = Status(code=code, message=text).SerializeToString()
        await _answer(send, status, body, extra, kind="application/x-protobuf")


async def _answer(
    send: Send, status: int, body: bytes, extra: list[tuple[str, str]] | None = None, kind: str = "application/json"
) -> None:
    pairs = [("content-type", kind), ("content-length", str(len(body))), *(extra or [])]
    headers = [(name.encode(), value.encode()) for name, value in pairs]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
