"""The ingest role: the sources into the ingest log, the ingest log into the store."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import structlog
import uvicorn
import uvloop

from collectors.ingest_log.loader import Loader
from collectors.ingest_log.segments import IngestLog
from collectors.receivers.http import HttpPort
from collectors.receivers.otlp import Intake, is_valid
from collectors.receivers.otlp_limits import Limits
from collectors.registry import sources
from collectors.running import RunningSources
from collectors.source import RegisteredSource, SourceContext
from collectors.state_sinks import StateSinks
from watchkeeper.asgi.connections import MOST_CONNECTIONS, BoundedHttp
from watchkeeper.config import Config
from watchkeeper.errors import StoreError
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.readiness import noted
from watchkeeper.roles.serving import bind
from watchkeeper.roles.state_file import look_after_as
from watchkeeper.store.edges import EdgeRefresh
from watchkeeper.store.preparation import prepare
from watchkeeper.store.schema import statements
from watchkeeper.store.statements import Statements

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
        self._state = StateSinks(config)
        self._intake = Intake(self._log, Limits.of(config))
        self._http = HttpPort(config, lambda: self._log.problem, lambda: noted(life))
        self._ports: dict[str, int] = {}
        self._sources = RunningSources(sources(), config, life.problems, self._context_of, self._stopping)
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
            life.problems,
            beat=lambda: life.heart.beat("loader"),
        )

    def _context_of(self, source: RegisteredSource) -> SourceContext:
        return SourceContext(
            name=source.name,
            config=self._config,
            settings=self._config.sources.get(source.name) or {},
            intake=self._intake,
            sinks=self._state,
            problems=self._life.problems,
            stop=self._stopping,
            http=self._http.paths(source.name, self._life.problems),
            listening=self._listening,
        )

    def _listening(self, name: str, port: int) -> None:
        """A source opened a port; one that is opened late is added to what was announced."""
        self._ports[name] = port
        if "otlp_http" in self._ports:
            ready.announce(self._config, "ingest", self._ports)

    async def serve(self) -> None:
        """Start everything, announce it, and wait for the end."""
        http = bind(self._config.ingest.host, self._config.ingest.otlp_http_port, "ingest.otlp_http_port")
        if self._config.ingest.otlp_grpc_port:  # a taken port ends a start, with its owner's name
            bind(self._config.ingest.host, self._config.ingest.otlp_grpc_port, "ingest.otlp_grpc_port").close()
        # Before the port is served: a sender that gets 404 for a path gives up.
        await asyncio.to_thread(self._sources.start)
        server = uvicorn.Server(
            uvicorn.Config(
                self._http,
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
        self._life.heart.expect("loader", LOADER_TIMES * self._config.roles.hung_after_s)
        for thread in threads:
            thread.start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        serving = asyncio.create_task(server.serve(sockets=[http]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
            await asyncio.sleep(0.01)
        self._listening("otlp_http", http.getsockname()[1])
        beating = asyncio.create_task(self._life.beat())
        self._logger.info("ingest.ready", **self._ports, sources=self._sources.names)
        # The first change event must not wait while the state database opens, which takes seconds on a busy machine.
        threading.Thread(target=self._state.open_early, name="state", daemon=True).start()
        await stop.wait()
        beating.cancel()
        server.should_exit = True
        await serving
        self._stopping.set()
        self._sources.join()
        self._log.close()
        self._loader.stop()
        for thread in threads:
            thread.join()
        ready.withdraw(self._config, "ingest")
        self._logger.info("ingest.stopped", backlog_bytes=self._log.backlog_bytes)

    def _refresh_edges(self) -> None:
        refresh: EdgeRefresh | None = None
        heart = self._life.heart
        heart.expect("edges", EDGES_TIMES * self._config.roles.hung_after_s)
        user, password = self._writer
        while not self._stopping.wait(EDGES_EVERY_S):
            heart.beat("edges")
            try:
                refresh = refresh or EdgeRefresh.connect(
                    url=self._config.store_url, database=self._config.store.database, user=user, password=password
                )
                refresh.run(self._log.complete_until("traces", time.time()))
            except StoreError as error:
                refresh = None
                self._logger.warning("edges.failed", error=error.message)
