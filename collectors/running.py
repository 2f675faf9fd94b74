"""The sources of an ingest role while it runs: each on a thread of its own, made again when it ends early."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from collectors.source import RegisteredSource, Source, SourceContext
from watchkeeper.config import Config
from watchkeeper.durations import backoff_s, spread_s
from watchkeeper.errors import CollectorError
from watchkeeper.parts import Registry
from watchkeeper.problems import Problems

LOOP: Final = "sources"
OPEN_WITHIN_S: Final = 5.0  # so long the role waits for its sources before it serves
STOP_WITHIN_S: Final = 10.0  # so long it waits for them at its end
FIRST_WAIT_S: Final = 1.0  # before a source that ended is made again; doubles with each failure
LONGEST_WAIT_S: Final = 60.0  # and no longer than this
WELL_AFTER_S: Final = 60.0  # a source that ran for so long has recovered: the next wait is the first one again


class RunningSources:
    """The registered sources that a configuration uses.

    Args:
        registry: what is installed; what could not be loaded is reported.
        config: decides which of them are started.
        problems: where a source that fails is reported, by its name.
        context_of: makes the context of one source.
        stop: is set when all must end.
    """

    def __init__(
        self,
        registry: Registry[RegisteredSource],
        config: Config,
        problems: Problems,
        context_of: Callable[[RegisteredSource], SourceContext],
        stop: threading.Event,
    ) -> None:
        self._problems = problems
        self._context_of = context_of
        self._stop = stop
        self._logger = structlog.get_logger()
        problems.solved(LOOP)  # of an earlier run
        for broken in registry.broken:
            problems.report(LOOP, broken.name, f"it cannot be loaded from {broken.origin}: {broken.reason}")
        known = {*registry.parts, *(broken.name for broken in registry.broken)}
        for name in config.sources.keys() - known:
            advice = "no installed package brings a source of this name; `watchkeeper parts` lists those that are there"
            problems.report(LOOP, name, f"sources.{name}: {advice}")
        self._threads = {
            source.name: _SourceThread(source, self._follow)
            for source in registry.values().values()
            if source.is_configured(config)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The sources that this configuration uses."""
        return tuple(self._threads)

    def start(self, within_s: float = OPEN_WITHIN_S) -> None:
        """Start every source, and wait until each is open, failed, or takes longer than `within_s` in all."""
        for thread in self._threads.values():
            thread.start()
        until = time.monotonic() + within_s
        for name in self._late(thread for thread in self._threads.values() if not thread.tried.wait(_left(until))):
            self._problems.report(LOOP, name, f"it is not open after {within_s:g} s; the role goes on without it")

    def join(self, within_s: float = STOP_WITHIN_S) -> None:
        """Wait for the sources to end, after `stop` was set; one that does not is left behind."""
        until = time.monotonic() + within_s
        for thread in self._threads.values():
            thread.join(_left(until))
        for name in self._late(thread for thread in self._threads.values() if thread.is_alive()):
            self._logger.warning("source.left_behind", source=name, waited_s=within_s)

    @staticmethod
    def _late(threads: Iterable[_SourceThread]) -> list[str]:
        return [thread.source.name for thread in threads]

    def _follow(self, thread: _SourceThread) -> None:
        """Make and run one source, again and again until the role stops."""
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                running = self._made(thread)
                running.run()
                if not self._stop.is_set():
                    raise CollectorError("it ended by itself while the role runs")  # noqa: TRY301
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a source dies of, the others go on
                failures = 1 if time.monotonic() - began > WELL_AFTER_S else failures + 1
                wait_s = spread_s(backoff_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S))
                self._problems.report(LOOP, thread.source.name, error)
                self._logger.warning("source.ended", source=thread.source.name, retry_s=round(wait_s, 1))
                thread.tried.set()
                self._stop.wait(wait_s)

    def _made(self, thread: _SourceThread) -> Source:
        source = thread.source
        running = source.make(self._context_of(source))
        thread.tried.set()
        self._problems.solved(LOOP, source.name)
        self._logger.info("source.open", source=source.name)
        return running


class _SourceThread(threading.Thread):
    """One source's thread. `tried` is set once the source was made, or could not be."""

    def __init__(self, source: RegisteredSource, follow: Callable[[_SourceThread], None]) -> None:
        super().__init__(name=f"source {source.name}", daemon=True)
        self.source = source
        self.tried = threading.Event()
        self._follow = follow

    def run(self) -> None:
        self._follow(self)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
