"""ClickHouse's HTTP interface in front of the embedded engine, on loopback.

Everybody else talks to it with an ordinary ClickHouse client, so that moving to a cluster is a change
of URL. Two users: `watchkeeper` reads, `loader` writes; passwords are checked before anything is parsed.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
import time
from base64 import b64decode
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from prometheus_client import Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from watchkeeper.asgi.hosts import Names, name_of
from watchkeeper.config import is_loopback
from watchkeeper.store.engine import Engine, QueryError, is_kill
from watchkeeper.store.request_body import BodyError, RequestBody
from watchkeeper.store.request_form import FORM, form_fields
from watchkeeper.text import one_line

# Rows of the loader go through a file; a statement is kept in memory.
LARGEST_ROWS: Final = 256 << 20
LARGEST_STATEMENT: Final = 4 << 20  # bytes
# A connection that is silent for so long is closed; a client opens another one.
SILENT_S: Final = 60.0
MOST_CONNECTIONS: Final = 256  # a thread each
# What is still taken and thrown away after a refusal, so that the sender reads the answer instead of a broken pipe.
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 4 << 20  # a socket's buffers, and some
# Names that no stranger can own, for a store that listens on a network.
PRIVATE_SUFFIXES: Final = (".local", ".internal", ".svc", ".lan")
QUERIES = Counter("watchkeeper_store_queries_total", "Statements, by user and outcome.", ["user", "outcome"])
SECONDS = Histogram("watchkeeper_store_query_seconds", "Time in the engine, by user.", ["user"])

# ClickHouse's code → the HTTP status that its own server gives.
STATUS: Final = {60: 404, 81: 404, 62: 400, 164: 403, 159: 408, 194: 401, 516: 401, 497: 403, 241: 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may connect."""

    password: str
    writes: bool


class ChdbServer(ThreadingHTTPServer):
    """Listens at `address`; set `engine` before serving. A connection is a thread, a statement a pooled one of the engine."""

    daemon_threads = True
    request_queue_size = 64
    engine: Engine
    noted: Callable[[], str | None] = staticmethod(lambda: None)  # what /readyz says below its first line

    def __init__(self, address: tuple[str, int], users: Mapping[str, User]) -> None:
        self.users = users
        self.names = Names(listens=address[0], own=address[0])
        self._listens_here = is_loopback(address[0])
        self._counting = threading.Lock()
        self._waiting: OrderedDict[Any, None] = OrderedDict()  # connections without a statement, the oldest first
        self._working: set[Any] = set()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Request)

    def fits(self, host: str) -> bool:
        """Whether a `Host` header names this store."""
        if self.names.fit(host):
            return True
        name = name_of(host)
        return bool(name) and not self._listens_here and ("." not in name or name.endswith(PRIVATE_SUFFIXES))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection; where there are too many, the one that has waited longest is closed."""
        with self._counting:
            if len(self._waiting) + len(self._working) >= MOST_CONNECTIONS:
                victim = next(iter(self._waiting), request)
                self._waiting.pop(victim, None)
                with contextlib.suppress(OSError):
                    victim.shutdown(socket.SHUT_RDWR)
            self._waiting[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._counting:
            self._waiting.pop(request, None)
            self._working.discard(request)
        super().shutdown_request(request)

    @contextlib.contextmanager
    def working(self, request: Any) -> Iterator[None]:
        """A connection's statement runs: nobody closes it meanwhile."""
        with self._counting:
            self._waiting.pop(request, None)
            self._working.add(request)
        try:
            yield
        finally:
            with self._counting:
                self._working.discard(request)
                self._waiting[request] = None

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """One line for what is unexpected; a client that went away is not."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            structlog.get_logger().error("store.request_failed", error=one_line(error), exc_info=True)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChdbServer
    disable_nagle_algorithm = True
    timeout = SILENT_S

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._refuse(*refusal)
            return
        path = self.path.partition("?")[0]
        if path in ("/ping", "/healthz"):
            self._answer(200, b"Ok.\n")
        elif path == "/readyz":
            self._answer(200, f"Ok.\n{self.server.noted() or ''}".encode())
        elif path == "/metrics":
            self._answer(200, generate_latest(), {"Content-Type": CONTENT_TYPE_LATEST})
        else:
            self._statement()

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def _refusal(self) -> tuple[int, str] | None:
        """The status and the words with which a request is refused by its head alone."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) > 1 or (not hosts and self.request_version != "HTTP/1.0"):
            return 400, "send Host once"
        if hosts and not self.server.fits(hosts[0]):
            return 421, f"unknown host {one_line(name_of(hosts[0]) or '(none)', 80)}; use the address of store.host"
        if origins or self.headers.get("Sec-Fetch-Site"):
            return 403, "the store answers no page in a browser"
        return None

    def _statement(self) -> None:
        user = self._authenticate()
        if user is None:
            text = "Code: 516. DB::Exception: Authentication failed: check store.user and the password"
            self._refuse(401, text, {"X-ClickHouse-Exception-Code": "516"})
            return
        name, rights = user
        try:
            options = {k: v[-1] for k, v in parse_qs(self.path.partition("?")[2], keep_blank_values=True).items()}
            sql = options.get("query", "")
            limit = LARGEST_ROWS if rights.writes and sql else LARGEST_STATEMENT
            with self.server.working(self.connection):
                answer = self._run(name, rights, sql, options, RequestBody(self.headers, self.rfile, limit))
        except QueryError as error:
            QUERIES.labels(name, "error").inc()
            self.close_connection = rights.writes  # the rest of its body may be on the way
            headers = {"X-ClickHouse-Exception-Code": str(error.code)}
            self._answer(STATUS.get(error.code, 500), error.message.encode(errors="replace"), headers)
            return
        except BodyError as error:
            QUERIES.labels(name, "error").inc()
            self._refuse(error.status, f"the request's body is rejected: {error}")
            return
        except (ValueError, EOFError) as error:
            QUERIES.labels(name, "error").inc()
            self._refuse(400, f"the request cannot be read: {one_line(error)}")
            return
        QUERIES.labels(name, "ok").inc()
        self._answer(200, answer, {"X-ClickHouse-Summary": "{}", "Content-Type": "application/octet-stream"})

    def _run(self, name: str, rights: User, sql: str, options: Mapping[str, str], body: Iterable[bytes]) -> bytes:
        form = self.headers.get("Content-Type", "")
        if not sql and form.lower().startswith(FORM):
            options, body = {**options, **form_fields(form, b"".join(body))}, ()
            sql = options.get("query", "")
        elif not sql:
            sql, body = b"".join(body).decode(errors="replace"), ()
        parameters = {k.removeprefix("param_"): v for k, v in options.items() if k.startswith("param_")}
        if not rights.writes:
            deque(body, maxlen=0)  # what is left unread would be taken for the next request
        with SECONDS.labels(name).time():
            if is_kill(sql):
                deque(body, maxlen=0)
                return self.server.engine.kill(sql)
            if rights.writes:
                return self.server.engine.write(sql, body, parameters)
            return self.server.engine.read(sql, options.get("default_format", "TabSeparated"), parameters)

    def _authenticate(self) -> tuple[str, User] | None:
        name, password = self.headers.get("X-ClickHouse-User", ""), self.headers.get("X-ClickHouse-Key", "")
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                name, _, password = b64decode(encoded).decode().partition(":")
            except ValueError:
                return None
        user = self.server.users.get(name)
        # Compared even for a stranger: the time must not tell who exists.
        right = secrets.compare_digest(password.encode(), (user.password if user else "-").encode())
        return (name, user) if user and right else None

    def _refuse(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer and close; of what is still to come only a little is taken, and thrown away."""
        self.close_connection = True
        self._answer(status, text.encode(errors="replace"), {"Connection": "close", **(headers or {})})
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            until, taken = time.monotonic() + LINGER_S, 0
            while taken < LINGER_BYTES and (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                piece = self.connection.recv(64 << 10)
                if not piece:
                    return
                taken += len(piece)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Counted instead of logged: queries are many."""
