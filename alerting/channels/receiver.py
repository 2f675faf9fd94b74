"""An HTTP server for trials of channels that post: it answers as the real one does, and remembers what it showed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

LARGEST: Final = 8 << 20
# From path, headers and body of a POST to status and answer.
Answer = Callable[[str, Mapping[str, str], bytes], tuple[int, object]]


class Receiver:
    """Gives each POST to `answer`; while `is_away`, it answers 503."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.is_away = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """Out of service for as long as the block runs."""
        self.is_away = True
        try:
            yield
        finally:
            self.is_away = False


@contextmanager
def serving(receiver: Receiver) -> Iterator[str]:
    """Serve on loopback; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(min(LARGEST, int(self.headers.get("Content-Length") or 0)))
            status, answer = (
                (503, {"status": "away"}) if receiver.is_away else receiver.answer(self.path, dict(self.headers), body)
            )
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the library's name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
