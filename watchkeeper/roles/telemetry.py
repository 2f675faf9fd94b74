"""Watchkeeper watches itself: its own spans through the OpenTelemetry SDK, its own health page.

Spans of a role go to this installation's own receiver, so they are searched like anybody else's.
They are few (ticks, diagnoses, sends) and dropped, not queued without bound, when the receiver is away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from opentelemetry import trace
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from watchkeeper import __version__
from watchkeeper.config import Config


def configure_logs() -> None:
    """One JSON object a line on stdout, times in UTC."""
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

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the receiver being away is told elsewhere
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

    def __init__(self, is_ready: Callable[[], str | None]) -> None:
        """`is_ready` returns None when all is well, else one sentence that says what is missing."""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                missing = is_ready() if self.path == "/readyz" else None
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                elif self.path in ("/healthz", "/readyz"):
                    self._answer(503 if missing else 200, "text/plain", (missing or "ok").encode())
                else:
                    self._answer(404, "text/plain", b"no such page; try /healthz, /readyz or /metrics")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Health checks are no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
