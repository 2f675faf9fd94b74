"""Watchkeeper watches itself: its own spans through the OpenTelemetry SDK, its own health page.

Spans of a role go to this installation's own receiver, so they are searched like anybody else's.
They are few (ticks, diagnoses, sends) and dropped, not queued without bound, when the receiver is away.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import TextIOWrapper
from typing import Any, Final

import structlog
from opentelemetry import trace
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from watchkeeper import __version__
from watchkeeper.asgi.hosts import Names, is_foreign
from watchkeeper.asgi.middleware import PROTECTION
from watchkeeper.config import Config

HEALTH_NAMES: Final = Names(listens="127.0.0.1")
MOST_AT_ONCE: Final = 32


def configure_logs() -> None:
    """One JSON object a line on stdout, each written at once, times in UTC."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file or a pipe would otherwise see nothing for a long while
            stream.reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


def trace_role(config: Config, role: str) -> trace.Tracer:
    """Send this role's spans to this installation's receiver, as service `watchkeeper-<role>`."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a receiver that is away is reported elsewhere
    provider = TracerProvider(
        resource=Resource({"service.name": f"watchkeeper-{role}", "service.version": __version__}),
    )
    host = "127.0.0.1" if config.ingest.host in ("0.0.0.0", "::") else config.ingest.host  # noqa: S104
    exporter = OTLPSpanExporter(
        endpoint=f"http://{host}:{config.ingest.otlp_http_port}/v1/traces",
        headers={"Authorization": f"Bearer {config.secret('commands')}"},
        timeout=2,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=512, schedule_delay_millis=5000))
    trace.set_tracer_provider(provider)
    return trace.get_tracer("watchkeeper", __version__)


class HealthServer:
    """`/healthz`, `/readyz` and `/metrics` on loopback for a role that serves nothing else."""

    def __init__(self, is_ready: Callable[[], str | None], noted: Callable[[], str | None] = lambda: None) -> None:
        """`is_ready` returns None when all is well, else one sentence that says what is missing.

        `noted` is what a human should know in either case; it stands below the first line.
        """

        class Page(BaseHTTPRequestHandler):
            timeout = 10  # seconds that one may take to ask

            def do_GET(self) -> None:
                host = self.headers.get_all("Host", [])
                if len(host) != 1 or not HEALTH_NAMES.fit(host[0]):
                    self._answer(421, "text/plain", b"unknown host; ask 127.0.0.1")
                    return
                if is_foreign(self.headers.get("Origin"), host[0]):
                    self._answer(403, "text/plain", b"a page of another site may not read here")
                    return
                missing, more = _asked(is_ready, noted) if self.path == "/readyz" else (None, None)
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                elif self.path in ("/healthz", "/readyz"):
                    text = "\n".join(line for line in (missing or "ok", more) if line)
                    self._answer(503 if missing else 200, "text/plain; charset=utf-8", text.encode())
                else:
                    self._answer(404, "text/plain", b"no such page; try /healthz, /readyz or /metrics")

            def do_HEAD(self) -> None:
                self.do_GET()

            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                # The library answers 501 and 505 to senseless requests, which are the sender's failure and not ours.
                status = 405 if code == 501 else 400 if code >= 500 else code
                self.close_connection = True
                self.request_version, self.command = "HTTP/1.0", self.command or "GET"
                self._answer(status, "text/plain", (message or explain or "not understood; use GET").encode()[:300])

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in PROTECTION.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Health checks are no news."""

        self._server = _HealthSockets(("127.0.0.1", 0), Page)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _asked(is_ready: Callable[[], str | None], noted: Callable[[], str | None]) -> tuple[str | None, str | None]:
    """What is missing and what is noted; that neither is known is an answer, too."""
    try:
        return is_ready(), noted()
    except Exception as error:  # noqa: BLE001 - whatever it is, the role's health is what is asked
        structlog.get_logger().exception("health.unknown")
        return f"whether this role is ready is unknown: {type(error).__name__}", None


class _HealthSockets(ThreadingHTTPServer):
    """A thread for each connection, but never more than a few: slow ones must not add up."""

    request_queue_size = 2 * MOST_AT_ONCE

    def __init__(self, address: tuple[str, int], page: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, page)
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """A connection that broke off is no news; what is ours goes to the log in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            structlog.get_logger().error("health.failed", error=repr(error), exc_info=error)
