"""The ingest role: the sources into the ingest log, the ingest log into the store."""

from __future__ import annotations

from typing import Final

import structlog
import uvloop

from collectors.ingest import EDGES, LOADER, Hooks, Ingest
from watchkeeper.config import Config
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.ports import bind
from watchkeeper.roles.readiness import noted
from watchkeeper.roles.serving import serve
from watchkeeper.roles.state_file import look_after_as

# After so many times roles.hung_after_s without a round, a loop counts as hung.
TIMES: Final = {
    LOADER: 20.0,  # a large segment takes minutes on a busy machine
    EDGES: 10.0,  # its queries wait for a slow store, and time out in less
}
GRACE_S: Final = 5  # what requests in progress have at the end


def run(config: Config) -> None:
    """Receive until SIGTERM or SIGINT; then finish what was begun."""
    config.require_safe_binding("ingest")
    with alive(config, "ingest") as life:
        look_after_as(life)
        _run(life)


def _run(life: Life) -> None:
    config, ports = life.config, dict[str, int]()

    def listening(name: str, port: int) -> None:
        """A source's port that opens late is added to what was announced."""
        ports[name] = port
        if "otlp_http" in ports:
            ready.announce(config, "ingest", ports)

    life.heart.enter_phase("reading the ingest log")
    hooks = Hooks(beat=life.heart.beat, listening=listening, noted=lambda: noted(life))
    ingest = Ingest(config, life.problems, hooks)
    http = bind(config.ingest.host, config.ingest.otlp_http_port, "ingest.otlp_http_port")
    if config.ingest.otlp_grpc_port:  # a taken port ends a start, with its owner's name
        bind(config.ingest.host, config.ingest.otlp_grpc_port, "ingest.otlp_grpc_port").close()
    ingest.start_sources()
    for loop, times in TIMES.items():
        life.heart.expect(loop, times * config.roles.hung_after_s)
    ingest.start_loading()
    structlog.get_logger().info("ingest.sources", names=ingest.source_names)
    serve(
        life,
        ingest.http,
        http,
        grace_s=GRACE_S,
        on_ready=lambda port: listening("otlp_http", port),
        run=uvloop.run,
    )
    structlog.get_logger().info("ingest.closed", backlog_bytes=ingest.stop())
