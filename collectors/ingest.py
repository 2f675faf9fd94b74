"""Ingest as a whole: the sources into the ingest log, the ingest log into the store, the calls in it into edges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from collectors.ingest_log.loader import Loader
from collectors.ingest_log.segments import LOAD_EVERY_S, IngestLog
from collectors.receivers.http import HttpPort
from collectors.receivers.otlp import Intake, is_valid
from collectors.receivers.otlp_limits import Limits
from collectors.registry import sources
from collectors.running import RunningSources
from collectors.source import RegisteredSource, SourceContext
from collectors.state_sinks import StateSinks
from watchkeeper.config import Config
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
from watchkeeper.store.edges import EdgeRefresh
from watchkeeper.store.preparation import prepare
from watchkeeper.store.schema import statements
from watchkeeper.store.statements import Statements

EDGES_EVERY_S: Final = 2.0  # under a bucket of five seconds
EDGES: Final = "edges"
LOADER: Final = "loader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What ingest calls in its role.

    Attributes:
        beat: with the name of a loop, in each of its rounds.
        listening: with the name and number of a port that a source opened, from the source's thread.
        noted: what an operator should know, for the health page.
    """

    beat: Callable[[str], None]
    listening: Callable[[str, int], None]
    noted: Callable[[], str | None]


class Ingest:
    """Everything of the ingest role but its process: `http` is the application of the receivers' port."""

    def __init__(self, config: Config, problems: Problems, hooks: Hooks) -> None:
        self._config = config
        self._problems = problems
        self._hooks = hooks
        self._logger = structlog.get_logger()
        self._stopping = threading.Event()
        self._log = IngestLog(
            config.ingest_log_dir,
            segment_bytes=config.ingest.segment_mib << 20,
            max_backlog_bytes=config.ingest.max_backlog_mib << 20,
            load_scale=config.ingest.segment_seconds / LOAD_EVERY_S["traces"],
            is_valid=is_valid,
        )
        self._state = StateSinks(config)
        self._intake = Intake(self._log, Limits.of(config))
        self.http = HttpPort(config, lambda: self._log.problem, hooks.noted)
        self._sources = RunningSources(sources(), config, problems, self._context_of, self._stopping)
        if config.store.url is None:
            user, password, schema = "loader", config.secret("store-loader"), list[str]()
        else:
            user, password = config.store.user, config.store_password()
            schema = statements(config.store.database, config.store.retention_days)
        self._store = store = Statements(url=config.store_url, user=user, password=password)
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
            problems,
            beat=lambda: hooks.beat(LOADER),
        )
        self._threads = [
            threading.Thread(target=self._loader.run, name=LOADER),
            threading.Thread(target=self._refresh_edges, name=EDGES),
        ]

    @property
    def source_names(self) -> tuple[str, ...]:
        """The sources that this configuration uses."""
        return self._sources.names

    def start_sources(self) -> None:
        """Start the sources; returns when they are open. Serve `http` afterwards: 404 makes a sender give up."""
        self._sources.start()

    def start_loading(self) -> None:
        """Start loading, and what else goes on beside the sources."""
        for thread in self._threads:
            thread.start()
        # The first change event must not wait while the state database opens, which takes seconds on a busy machine.
        threading.Thread(target=self._state.open_early, name="state", daemon=True).start()

    def stop(self) -> int:
        """Finish what was begun; returns how many bytes wait for the store. Call it when `http` is no longer served."""
        self._stopping.set()
        self._sources.join()
        self._log.close()
        self._loader.stop()
        for thread in self._threads:
            thread.join()
        return self._log.backlog_bytes

    def _context_of(self, source: RegisteredSource) -> SourceContext:
        return SourceContext(
            name=source.name,
            config=self._config,
            settings=self._config.sources.get(source.name) or {},
            intake=self._intake,
            sinks=self._state,
            problems=self._problems,
            stop=self._stopping,
            http=self.http.paths(source.name, self._problems),
            listening=self._hooks.listening,
        )

    def _refresh_edges(self) -> None:
        refresh = EdgeRefresh(self._store, self._config.store.database)
        while not self._stopping.wait(EDGES_EVERY_S):
            self._hooks.beat(EDGES)
            try:
                refresh.run(self._log.complete_until("traces", time.time()))
            except StoreError as error:
                refresh = EdgeRefresh(self._store, self._config.store.database)
                self._logger.warning("edges.failed", error=error.message)
