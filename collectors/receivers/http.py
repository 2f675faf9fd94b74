"""The receivers' HTTP port: the paths that sources are posted to, and the role's own health.

A plain ASGI application: at hundreds of requests a second of half a thousand spans each, a framework's
routing and validation would cost more than the work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from google.rpc.status_pb2 import Status
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import Receive, Scope, Send

from collectors.ingest_log.segments import OverloadedError
from collectors.receivers.callers import Callers, Held, Rates
from collectors.receivers.encodings import ACCEPTED, check_encoding, unpacked
from collectors.receivers.exchange import Exchange, Pairs
from collectors.receivers.otlp_json import json_object
from collectors.receivers.rejections import BusyError, SlowError, TooFastError, TooLargeError, UnsupportedError
from watchkeeper.asgi.bodies import Bodies, Limits
from watchkeeper.config import Config
from watchkeeper.errors import CollectorError, IngestLogError, WatchkeeperError
from watchkeeper.problems import Problems

# Takes a decoded JSON body; returns what to answer. Raises ValueError or WatchkeeperError on a bad one.
JsonSink = Callable[[Any], dict[str, Any]]
# Answers one POST to a path of the port.
Route = Callable[["HttpPort", Exchange], Awaitable[None]]

HEALTH: Final = ("/healthz", "/readyz", "/metrics")
RETRY_AFTER_S: Final = 2  # the loader clears a full backlog in seconds
INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 3, 7, 8, 14, 16
# An exporter on a slow line may take so long for its body.
BODY_WITHIN_S: Final = 60.0
# Of the largest bodies, so many may arrive, or be worked on, at once.
LARGEST_AT_ONCE: Final = 6
# A larger packed body is unpacked beside the event loop, so that small ones needn't wait for it.
UNPACKED_BESIDE: Final = 64 << 10


class HttpPort:
    """The ASGI application. `is_ready` names what is missing, if anything; `noted` what an operator should know."""

    def __init__(
        self,
        config: Config,
        is_ready: Callable[[], str | None] = lambda: None,
        noted: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._config = config
        self._is_ready = is_ready
        self._noted = noted
        self._routes: dict[str, tuple[str, Route]] = {}
        self._callers = Callers(config)
        self._rates = Rates(config.ingest.max_sender_mib_s * (1 << 20))
        self._limit = config.ingest.max_request_mib << 20
        most = LARGEST_AT_ONCE * self._limit
        self._bodies = Bodies(Limits(otherwise=self._limit), deadline_s=BODY_WITHIN_S, most_bytes=most)
        self._held = Held(most)
        self._ingest_needs_token = any("ingest" in token.scopes for token in config.tokens)

    def paths(self, source: str, problems: Problems) -> Paths:
        """The port's paths, for a source to add its own."""
        return Paths(source, self._routes, problems)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(self._config, scope, receive, send)
        refusal = self._callers.refusal(scope["headers"])
        if refusal:
            await answer_status(exchange, *refusal, PERMISSION_DENIED, is_json=True)
            return
        path, method = exchange.path, exchange.method
        if origin := exchange.headers.get("origin"):
            exchange.extra = [("access-control-allow-origin", origin), ("vary", "origin")]
        if method == "GET" and path in HEALTH:
            await self._health(exchange)
        elif path not in self._routes:
            known = ", ".join(self._routes)
            await exchange.answer(404, error_body(f"no such path; POST to one of {known}"))
        elif method == "POST":
            _, route = self._routes[path]
            await route(self, exchange)
        else:
            await _not_a_post(exchange)

    def allows(self, exchange: Exchange, scope: str) -> bool:
        """Whether a request may do what needs `scope`. `ingest` is open until a token with that scope is configured."""
        if scope == "ingest" and not self._ingest_needs_token:
            return True
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._config.token_allows(token, scope)

    @asynccontextmanager
    async def body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The unpacked body, which counts as in memory while the context lasts.

        Raises:
            CollectorError: it is too large, too slow, broken, in an unknown encoding, or too much at once.
        """
        check_encoding(exchange.encoding)
        if exchange.declared <= self._limit:  # else it is rejected for that
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

    async def _health(self, exchange: Exchange) -> None:
        if exchange.path == "/metrics":
            await exchange.answer(200, generate_latest(), kind=CONTENT_TYPE_LATEST)
            return
        missing, noted = (self._is_ready(), self._noted()) if exchange.path == "/readyz" else (None, None)
        text = "\n".join(line for line in (missing or "ok", noted) if line)
        await exchange.answer(503 if missing else 200, text.encode(), kind="text/plain; charset=utf-8")


class Paths:
    """The paths of the port, as one source sees them."""

    def __init__(self, source: str, routes: dict[str, tuple[str, Route]], problems: Problems) -> None:
        self._source = source
        self._routes = routes
        self._problems = problems

    def add(self, path: str, route: Route) -> None:
        """Let `route` answer the POST requests of a path, instead of what this source added before.

        Raises:
            ValueError: it is no path, or another's.
        """
        owner, _ = self._routes.get(path, (self._source, route))
        if not path.startswith("/") or path in HEALTH or owner != self._source:
            whose = "the role's health" if path in HEALTH else f"the source {owner}"
            reason = f"it belongs to {whose}" if path.startswith("/") else "it must begin with /"
            raise ValueError(f"the path {path!r} cannot be added: {reason}; choose another")
        self._routes[path] = (self._source, route)

    def add_json(self, path: str, take: JsonSink, *, scope: str = "ingest") -> None:
        """Let `take` answer the JSON bodies that are posted to a path, from senders whose token has `scope`.

        `take` returns the answer's object. It is called on a thread, raises ValueError for what its sender must
        change, and WatchkeeperError with `retry` for what may be sent again.
        """
        self.add(path, _JsonRoute(scope=scope, take=take, source=self._source, problems=self._problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class _JsonRoute:
    scope: str
    take: JsonSink
    source: str
    problems: Problems

    async def __call__(self, port: HttpPort, exchange: Exchange) -> None:
        if not port.allows(exchange, self.scope):
            text = f"a bearer token with the scope {self.scope} is needed; make one with `watchkeeper token new`"
            await exchange.answer(401, error_body(text), [("www-authenticate", "Bearer")])
            return
        if exchange.kind != "application/json":
            # A page in a browser may send other types here without asking first.
            await exchange.answer(415, error_body("send Content-Type application/json"))
            return
        try:
            async with port.body(exchange) as body:
                answer = await asyncio.to_thread(lambda: json.dumps(self.take(json_object(body))).encode())
        except (CollectorError, IngestLogError) as error:
            await exchange.answer(status_of(error)[0], error_body(error.message), hints(error))
        except (ValueError, RecursionError) as error:
            await exchange.answer(400, error_body(str(error)))
        except WatchkeeperError as error:
            retry: Pairs = [("retry-after", str(RETRY_AFTER_S))] if error.retry else []
            await exchange.answer(503 if error.retry else 400, error_body(error.message), retry)
        except Exception as error:  # noqa: BLE001 - a source's mistake is its own: the port serves the others
            self.problems.report(self.source, exchange.path, error)
            await exchange.answer(500, error_body("the request could not be processed; see `watchkeeper doctor`"))
        else:
            await exchange.answer(200, answer)


async def _not_a_post(exchange: Exchange) -> None:
    if exchange.method == "OPTIONS" and exchange.extra:  # a browser asks before it sends; its page is allowed
        allowed = "content-type, content-encoding, authorization"
        pairs = [("access-control-allow-methods", "POST"), ("access-control-allow-headers", allowed)]
        await exchange.answer(204, b"", pairs)
    else:
        await exchange.answer(405, error_body("use POST"), [("allow", "POST")])


def error_body(text: str) -> bytes:
    """An error as JSON."""
    return json.dumps({"error": text}).encode()


def status_of(error: CollectorError | IngestLogError) -> tuple[int, int]:
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


def hints(error: CollectorError | IngestLogError) -> Pairs:
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


async def answer_status(
    exchange: Exchange, status: int, text: str, code: int, *, is_json: bool, extra: Pairs | None = None
) -> None:
    """An error as OTLP specifies: a google.rpc.Status in the request's own encoding."""
    if is_json:
        await exchange.answer(status, json.dumps({"code": code, "message": text}).encode(), extra)
    else:
        body = Status(code=code, message=text).SerializeToString()
        await exchange.answer(status, body, extra, kind="application/x-protobuf")
