"""The ingest role: receivers and scrapes into the log, the log into the store."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import Any

import structlog
import uvicorn
import uvloop
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from collectors.ingest_log.loader import Loader
from collectors.ingest_log.segments import IngestLog
from collectors.receivers.http import HttpReceiver, JsonSink
from collectors.receivers.otlp import Intake, is_valid
from collectors.receivers.otlp_grpc import serve as serve_grpc
from collectors.receivers.otlp_limits import Limits
from collectors.scrape.prometheus import Scraper
from collectors.webhooks.sinks import StateSinks
from watchkeeper.asgi.connections import MOST_CONNECTIONS, BoundedHttp
from watchkeeper.config import Config
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.readiness import noted
from watchkeeper.roles.serving import bind
from watchkeeper.roles.state_file import look_after_as
from watchkeeper.store.edges import EdgeRefresh
from watchkeeper.store.preparation import prepare
from watchkeeper.store.schema import statements
from watchkeeper.store.statements import Statements
from watchkeeper.store.telemetry import connect

EDGES_EVERY_S = 2.0
LOADER_TIMES = 20.0  # a large segment takes minutes on a busy machine
EDGES_TIMES = 10.0  # its queries wait for a slow store, and time out in less


def run(config: Config) -> None:
    """Receive until SIGTERM or SIGINT; then finish what was begun."""
    config.require_safe_binding("ingest")
    with alive(config, "ingest") as life:
        look_after_as(life)
        life.heart.enter_phase("reading the ingest log")
        uvloop.run(_Ingest(life).serve())


class _Ingest:
    def __init__(self, life: Life) -> None:
        config = life.config
        self._life = life
        self._config = config
        self._logger = structlog.get_logger()
        self._stopping = threading.Event()
        self._log = IngestLog(
            config.ingest_log_dir,
            segment_bytes=config.ingest.segment_mib << 20,
            max_backlog_bytes=config.ingest.max_backlog_mib << 20,
            open_scale=config.ingest.segment_seconds,
            is_valid=is_valid,
        )
        self._problems = life.problems
        self._state = StateSinks(config, self._problems)
        if config.store.url is None:
            self._writer, schema = ("loader", config.secret("store-loader")), []
        else:
            self._writer = (config.store.user, config.store_password())
            schema = statements(config.store.database, config.store.retention_days)
        user, password = self._writer
        store = Statements(url=config.store_url, user=user, password=password)
        self._loader = Loader(
            self._log,
            store,
            lambda: prepare(
                store,
                database=config.store.database,
                memory_mib=config.store.memory_mib,
                retention_days=config.store.retention_days,
                ahead_days=config.ingest.max_ahead_hours / 24,
                schema=schema,
            ),
            self._problems,
            beat=lambda: life.heart.beat("loader"),
        )

    def _connect(self) -> Any:
        return connect(self._config.store_url, self._config.store.database, *self._writer)

    async def serve(self) -> None:
        """Start everything, announce it, and wait for the end."""
        http = bind(self._config.ingest.host, self._config.ingest.otlp_http_port, "ingest.otlp_http_port")
        grpc_port = self._config.ingest.otlp_grpc_port
        if grpc_port:
            bind(self._config.ingest.host, grpc_port, "ingest.otlp_grpc_port").close()
        grpc_server, grpc_port = serve_grpc(self._config, self._log)
        receiver = HttpReceiver(
            self._config, self._log, self._sinks(), lambda: self._log.problem, lambda: noted(self._life)
        )
        server = uvicorn.Server(
            uvicorn.Config(
                receiver,
                http=BoundedHttp,
                ws="none",
                loop="uvloop",
                lifespan="off",
                access_log=False,
                log_level="warning",
                server_header=False,
                proxy_headers=False,  # anybody may write X-Forwarded-For
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=5,
            )
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        threads = [
            threading.Thread(target=self._loader.run, name="loader"),
            threading.Thread(target=self._refresh_edges, name="edges"),
        ]
        intake = Intake(self._log, Limits.of(self._config))
        scraper = Scraper(self._config.ingest.scrape, intake, self._problems)
        self._life.heart.expect("loader", LOADER_TIMES * self._config.roles.hung_after_s)
        for thread in threads:
            thread.start()
        scraper.start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        serving = asyncio.create_task(server.serve(sockets=[http]))
        while not server.started:  # noqa: ASYNC110 - uvicorn tells of its start in no other way
            await asyncio.sleep(0.01)
        ports = {"otlp_http": http.getsockname()[1], "otlp_grpc": grpc_port}
        ready.announce(self._config, "ingest", ports)
        beating = asyncio.create_task(self._life.beat())
        self._logger.info("ingest.ready", **ports)
        # The first change event must not wait while the state database opens, which takes seconds on a busy machine.
        threading.Thread(target=self._state.open_early, name="state", daemon=True).start()
        await stop.wait()
        beating.cancel()
        server.should_exit = True
        await serving
        grpc_server.stop(grace=2).wait()
        self._stopping.set()
        scraper.stop()
        self._log.close()
        self._loader.stop()
        for thread in threads:
            thread.join()
        ready.withdraw(self._config, "ingest")
        self._logger.info("ingest.stopped", backlog_bytes=self._log.backlog_bytes)

    def _sinks(self) -> dict[str, tuple[str, JsonSink]]:
        return {
            "/api/v1/changes": ("changes", self._state.take_change),
            "/api/v1/alerts/alertmanager": ("ingest", self._state.take_alerts),
        }

    def _refresh_edges(self) -> None:
        refresh: EdgeRefresh | None = None
        heart = self._life.heart
        heart.expect("edges", EDGES_TIMES * self._config.roles.hung_after_s)
        while not self._stopping.wait(EDGES_EVERY_S):
            heart.beat("edges")
            try:
                refresh = refresh or EdgeRefresh(self._connect(), self._config.store.database)
                refresh.run(self._log.complete_until("traces", time.time()))
            except (ClickHouseError, HTTPError, OSError) as error:
                refresh = None
                self._logger.warning("edges.failed", error=str(error))
