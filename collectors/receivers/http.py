"""The receivers' HTTP port: OTLP, change events, Alertmanager's webhook, and the role's own health.

A plain ASGI application: at hundreds of requests a second of half a thousand spans each, a framework's
routing and validation would cost more than the work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from prometheus_client import Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from collectors.ingest_log.segments import IngestLog, OverloadedError
from collectors.receivers.callers import Callers, Held, Rates
from collectors.receivers.encodings import ACCEPTED, check_encoding, unpacked
from collectors.receivers.exchange import Exchange, Pairs, Receive, Scope, Send
from collectors.receivers.otlp import Intake, Taken, count_refusal, response
from collectors.receivers.otlp_json import json_object
from collectors.receivers.otlp_limits import Limits
from collectors.receivers.rejections import BusyError, SlowError, TooFastError, TooLargeError, UnsupportedError
from watchkeeper.asgi.bodies import Bodies
from watchkeeper.asgi.bodies import Limits as BodyLimits
from watchkeeper.config import Config
from watchkeeper.errors import CollectorError, IngestLogError, WatchkeeperError

# Takes a decoded JSON body; returns what to answer. Raises ValueError or WatchkeeperError on a bad one.
JsonSink = Callable[[Any], dict[str, Any]]

ACK_SECONDS = Histogram(
    "watchkeeper_otlp_ack_seconds",
    "From the whole request to the ack.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
PATHS: Final = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
RETRY_AFTER_S: Final = 2
INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 3, 7, 8, 14, 16
# An exporter on a slow line may take so long for its body.
BODY_WITHIN_S: Final = 60.0
# Of the largest bodies, so many may arrive, or be worked on, at once.
LARGEST_AT_ONCE: Final = 6
# A larger body, and any JSON, is decoded beside the event loop, so that small ones needn't wait for it.
DECODED_BESIDE: Final = 256 << 10
UNPACKED_BESIDE: Final = 64 << 10


class HttpReceiver:
    """The ASGI application. `sinks` maps a path to what takes its JSON, with the scope that a token needs."""

    def __init__(
        self,
        config: Config,
        log: IngestLog,
        sinks: dict[str, tuple[str, JsonSink]],
        is_ready: Callable[[], str | None],
        noted: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`is_ready` names what is missing, if anything; `noted` what an operator should know in either case."""
        self._config = config
        self._sinks = sinks
        self._is_ready = is_ready
        self._intake = Intake(log, Limits.of(config))
        self._callers = Callers(config)
        self._rates = Rates(config.ingest.max_sender_mib_s * (1 << 20))
        self._noted = noted
        self._limit = config.ingest.max_request_mib << 20
        most = LARGEST_AT_ONCE * self._limit
        self._bodies = Bodies(BodyLimits(otherwise=self._limit), deadline_s=BODY_WITHIN_S, most_bytes=most)
        self._held = Held(most)
        self._otlp_needs_token = any("ingest" in token.scopes for token in config.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(self._config, scope, receive, send)
        refusal = self._callers.refusal(scope["headers"])
        if refusal:
            await _status(exchange, *refusal, PERMISSION_DENIED, is_json=True)
            return
        path, method = exchange.path, exchange.method
        if origin := exchange.headers.get("origin"):
            exchange.extra = [("access-control-allow-origin", origin), ("vary", "origin")]
        if method == "GET" and path in ("/healthz", "/readyz", "/metrics"):
            await self._health(exchange)
        elif path in PATHS and method == "POST":
            await self._otlp(PATHS[path], exchange)
        elif path in self._sinks and method == "POST":
            await self._json(exchange)
        elif path in PATHS or path in self._sinks:
            await _not_a_post(exchange)
        else:
            known = ", ".join([*PATHS, *self._sinks])
            await exchange.answer(404, _error(f"no such path; POST to one of {known}"))

    async def _otlp(self, signal: str, exchange: Exchange) -> None:
        is_json = exchange.kind == "application/json"
        if exchange.kind not in ("application/json", "application/x-protobuf"):
            shown = exchange.kind[:60] or "(none)"
            text = f"Content-Type {shown} is not OTLP; send application/x-protobuf or application/json"
            await _status(exchange, 415, text, INVALID_ARGUMENT, is_json=True)
            return
        if self._otlp_needs_token and not self._allowed(exchange, "ingest"):
            text = "a bearer token with the scope ingest is needed"
            await _status(exchange, 401, text, UNAUTHENTICATED, is_json=is_json)
            return
        clock = asyncio.get_running_loop().time
        try:
            async with self._body(exchange) as body:
                began = clock()
                if is_json or len(body) > DECODED_BESIDE:
                    taken = await asyncio.to_thread(
                        self._intake.take, signal, body, is_json=is_json, sender=exchange.described
                    )
                else:
                    taken = self._intake.take(signal, body, sender=exchange.described)
                if taken.done is not None:
                    await asyncio.wrap_future(taken.done)
        except (CollectorError, IngestLogError) as error:
            count_refusal(signal, error)
            status, code = _refusal(error)
            await _status(exchange, status, error.message, code, is_json=is_json, extra=_hints(error))
        else:
            ACK_SECONDS.observe(clock() - began)
            await exchange.answer(200, _encoded(signal, taken, is_json=is_json), kind=exchange.kind)

    async def _json(self, exchange: Exchange) -> None:
        needed, sink = self._sinks[exchange.path]
        open_here = needed == "ingest" and not self._otlp_needs_token
        if not open_here and not self._allowed(exchange, needed):
            text = f"a bearer token with the scope {needed} is needed; make one with `watchkeeper token new`"
            await exchange.answer(401, _error(text), [("www-authenticate", "Bearer")])
            return
        if exchange.kind != "application/json":
            # A page in a browser may send other types here without asking first.
            await exchange.answer(415, _error("send Content-Type application/json"))
            return
        try:
            async with self._body(exchange) as body:
                answer = await asyncio.to_thread(_into, sink, body)
        except (CollectorError, IngestLogError) as error:
            await exchange.answer(_refusal(error)[0], _error(error.message), _hints(error))
        except (ValueError, RecursionError) as error:
            await exchange.answer(400, _error(str(error)))
        except WatchkeeperError as error:
            retry: Pairs = [("retry-after", str(RETRY_AFTER_S))] if error.retry else []
            await exchange.answer(503 if error.retry else 400, _error(error.message), retry)
        else:
            await exchange.answer(200, json.dumps(answer).encode())

    async def _health(self, exchange: Exchange) -> None:
        if exchange.path == "/metrics":
            await exchange.answer(200, generate_latest(), kind=CONTENT_TYPE_LATEST)
            return
        missing, noted = (self._is_ready(), self._noted()) if exchange.path == "/readyz" else (None, None)
        text = "\n".join(line for line in (missing or "ok", noted) if line)
        await exchange.answer(503 if missing else 200, text.encode(), kind="text/plain; charset=utf-8")

    def _allowed(self, exchange: Exchange, scope: str) -> bool:
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._config.token_allows(token, scope)

    @asynccontextmanager
    async def _body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The unpacked body, which counts as in memory while the context lasts.

        Raises:
            CollectorError: it is too large, too slow, broken, in an unknown encoding, or too much at once.
        """
        check_encoding(exchange.encoding)
        if exchange.declared <= self._limit:  # else it is refused for that
            self._rates.take(exchange.sender, exchange.declared)
        packed = await exchange.body(self._bodies)
        with self._held.account() as hold:
            hold(len(packed))
            if len(packed) > UNPACKED_BESIDE:
                body = await asyncio.to_thread(unpacked, packed, exchange.encoding, self._limit)
            else:
                body = unpacked(packed, exchange.encoding, self._limit)
            if body is not packed:
                hold(len(body))
            self._rates.charge(exchange.sender, len(body) - exchange.declared)
            del packed
            yield body


async def _not_a_post(exchange: Exchange) -> None:
    if exchange.method == "OPTIONS" and exchange.extra:  # a browser asks before it sends; its page is allowed
        allowed = "content-type, content-encoding, authorization"
        pairs = [("access-control-allow-methods", "POST"), ("access-control-allow-headers", allowed)]
        await exchange.answer(204, b"", pairs)
    else:
        await exchange.answer(405, _error("use POST"), [("allow", "POST")])


def _into(sink: JsonSink, body: bytes) -> dict[str, Any]:
    return sink(json_object(body))


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def _encoded(signal: str, taken: Taken, *, is_json: bool) -> bytes:
    answer = response(signal, taken)
    if is_json:
        return json.dumps(json_format.MessageToDict(answer)).encode()
    return bytes(answer.SerializeToString())


def _refusal(error: CollectorError | IngestLogError) -> tuple[int, int]:
    """The HTTP status and google.rpc code: a client tries again after 429 and 503, and after nothing else."""
    match error:
        case TooLargeError():
            return 413, INVALID_ARGUMENT
        case UnsupportedError():
            return 415, INVALID_ARGUMENT
        case SlowError():
            return 408, INVALID_ARGUMENT
        case OverloadedError() | TooFastError():
            return 429, RESOURCE_EXHAUSTED
        case BusyError() | IngestLogError():
            return 503, UNAVAILABLE
        case _:
            return (503, UNAVAILABLE) if error.retry else (400, INVALID_ARGUMENT)


def _hints(error: CollectorError | IngestLogError) -> Pairs:
    """Headers that name what would work."""
    match error:
        case UnsupportedError():
            return [("accept-encoding", ACCEPTED)]
        case TooFastError():
            return [("retry-after", str(error.retry_after_s))]
        case IngestLogError():
            return [("retry-after", str(RETRY_AFTER_S))]
        case _:
            return [("retry-after", str(RETRY_AFTER_S))] if error.retry else []


async def _status(
    exchange: Exchange, status: int, text: str, code: int, *, is_json: bool, extra: Pairs | None = None
) -> None:
    """An error as OTLP specifies: a google.rpc.Status in the request's own encoding."""
    if is_json:
        await exchange.answer(status, json.dumps({"code": code, "message": text}).encode(), extra)
    else:
        body = Status(code=code, message=text).SerializeToString()
        await exchange.answer(status, body, extra, kind="application/x-protobuf")
