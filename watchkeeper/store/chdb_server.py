"""ClickHouse's HTTP interface in front of the embedded engine, on loopback.

Everybody else talks to it with an ordinary ClickHouse client, so that moving to a cluster is a change
of URL. Two users: `watchkeeper` reads, `loader` writes; passwords are checked before anything is parsed.
"""

from __future__ import annotations

import secrets
import zlib
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from prometheus_client import Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from watchkeeper.store.engine import Engine, QueryError, is_kill

LARGEST_BODY: Final = 256 << 20
PIECE: Final = 1 << 20
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
        super().__init__(address, _Request)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChdbServer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in ("/ping", "/healthz"):
            self._answer(200, b"Ok.\n")
        elif path == "/readyz":
            self._answer(200, f"Ok.\n{self.server.noted() or ''}".encode())
        elif path == "/metrics":
            self._answer(200, generate_latest(), {"Content-Type": CONTENT_TYPE_LATEST})
        else:
            self._statement()

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def _statement(self) -> None:
        user = self._authenticate()
        if user is None:
            text = "Code: 516. DB::Exception: Authentication failed: check store.user and the password"
            self.close_connection = True
            self._answer(401, text.encode(), {"X-ClickHouse-Exception-Code": "516"})
            return
        name, rights = user
        options = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
        parameters = {k.removeprefix("param_"): v for k, v in options.items() if k.startswith("param_")}
        sql = options.get("query", "")
        body: Iterator[bytes] = self._body()
        try:
            if not sql:
                sql, body = b"".join(body).decode(errors="replace"), iter(())
            if not rights.writes:
                deque(body, maxlen=0)  # what is left unread would be taken for the next request
            with SECONDS.labels(name).time():
                if is_kill(sql):
                    answer = self.server.engine.kill(sql)
                elif rights.writes:
                    answer = self.server.engine.write(sql, body, parameters)
                else:
                    output_format = options.get("default_format", "TabSeparated")
                    answer = self.server.engine.read(sql, output_format, parameters)
        except QueryError as error:
            QUERIES.labels(name, "error").inc()
            self.close_connection = rights.writes  # the rest of its body may be on the way
            headers = {"X-ClickHouse-Exception-Code": str(error.code)}
            self._answer(STATUS.get(error.code, 500), error.message.encode(), headers)
            return
        except (ValueError, EOFError, zlib.error) as error:
            QUERIES.labels(name, "error").inc()
            self.close_connection = True
            self._answer(400, f"the request's body is not what its headers say: {error}".encode())
            return
        QUERIES.labels(name, "ok").inc()
        self._answer(200, answer, {"X-ClickHouse-Summary": "{}", "Content-Type": "application/octet-stream"})

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

    def _body(self) -> Iterator[bytes]:
        """The body in pieces, unzipped: a segment goes to its file without ever being whole in memory."""
        encoding = self.headers.get("Content-Encoding", "")
        if encoding not in ("", "identity", "gzip", "deflate"):
            raise ValueError(f"Content-Encoding {encoding} is not supported; send gzip or none")
        inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
        total = 0
        for raw in self._raw():
            piece = inflate.decompress(raw, LARGEST_BODY) if inflate else raw
            total += len(piece)
            if total > LARGEST_BODY:
                raise ValueError(f"it is over the limit of {LARGEST_BODY} bytes")
            yield piece
        if inflate and not inflate.eof:
            raise ValueError("it is cut short")

    def _raw(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield from self._pieces(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self._pieces(size)
            self.rfile.readline()
        self.rfile.readline()

    def _pieces(self, missing: int) -> Iterator[bytes]:
        while missing:
            piece = self.rfile.read(min(missing, PIECE))
            if not piece:
                raise ValueError("the connection closed before the body was whole")
            missing -= len(piece)
            yield piece

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Counted instead of logged: queries are many."""
