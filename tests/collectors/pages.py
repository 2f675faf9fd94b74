"""Real HTTP servers with one page, for scrapes."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable
from typing import Any


class Target:
    """An HTTP server with one page; everything about its answer may be changed, and what was asked for is kept."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.page: str | bytes = ""
        self.kind: str | None = "text/plain; version=0.0.4"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        target = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                target.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                if target.answer:
                    target.answer(self)
                    return
                self.send_response(target.status)
                if target.kind is not None:
                    self.send_header("Content-Type", target.kind)
                for key, value in target.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                page = target.page
                self.wfile.write(page if isinstance(page, bytes) else page.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(http.server.ThreadingHTTPServer):
            address_family = family
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that gave up is none."""

        self._server = Server(("127.0.0.1" if family == socket.AF_INET else "::1", 0), Page)
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}" if family == socket.AF_INET else f"[::1]:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def drip(piece: bytes, *, headers: bool = False) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer that comes a piece at a time, for ever."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if not headers:
            handler.wfile.write(b"Content-Type: text/plain\r\n\r\n")
        while True:
            handler.wfile.write(piece)
            time.sleep(0.02)

    return answer
