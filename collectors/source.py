"""What a source is: a way in which telemetry, alerts or change events come in.

A source is a class, named by an entry point of the group `watchkeeper.sources`. The ingest role makes one of each that
is configured, with one `SourceContext`, and calls `run` on a thread of its own:

    class QueueDepth:
        \"\"\"The depth of a job queue, from its status page.\"\"\"

        def __init__(self, context: SourceContext) -> None:
            self._context = context
            self._url = str(context.settings["url"])  # of `sources.queue-depth` in the configuration

        def run(self) -> None:
            while not self._context.stop.wait(10):
                request = as_otlp(httpx.get(self._url))
                self._context.intake.take("metrics", request.SerializeToString()).wait()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from collectors.receivers.http import Paths
from collectors.receivers.otlp import Intake
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import AlertNotice, ChangeEvent

if TYPE_CHECKING:
    from collectors.webhooks.alert_episodes import Recorded


class Source(Protocol):
    """A source that was made with its context: its ports are open and its paths are served."""

    def run(self) -> None:
        """Bring in telemetry until `context.stop` is set, then finish what was begun and return.

        Whatever it raises is reported by the source's name, and the source is made again after a while. It confirms
        to its sender only what the intake has synced: after `Taken.wait()`, or when `Taken.done` is done.
        """
        ...


class Sinks(Protocol):
    """Where alerts and change events go. Threads may share it.

    The methods raise DatabaseError where nothing could be kept, or only a part; sending it again does nothing twice.
    """

    def alerts(self, notices: Sequence[AlertNotice]) -> Recorded:
        """Keep what another system's alerts report."""
        ...

    def change(self, change: ChangeEvent) -> bool:
        """Keep one change event; whether it is new."""
        ...

    def heartbeat(self, name: str) -> None:
        """Keep that one of the configuration's heartbeats was heard now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What the ingest role gives to a source.

    Attributes:
        name: the source's registered name.
        config: the whole configuration.
        settings: what the configuration holds at `sources.<name>`; empty for a source with another section.
        intake: takes OTLP requests into the ingest log.
        sinks: take alerts and change events.
        problems: where a source reports what it sets aside, with its own name as the loop.
        stop: is set when the role stops.
        http: the receivers' HTTP port, for a source that is posted to.
        listening: call it with the name and the number of a port that the source opened.
    """

    name: str
    config: Config
    settings: Mapping[str, Any]
    intake: Intake
    sinks: Sinks
    problems: Problems
    stop: threading.Event
    http: Paths
    listening: Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSource:
    """A source as its entry point declares it.

    Attributes:
        section: the dotted key of the configuration that the source needs; without it, the source isn't started.
        make: opens the source: checks its settings, opens its ports, adds its paths. It returns soon, and raises
            with one sentence where something is wrong.
    """

    name: str
    section: str
    make: Callable[[SourceContext], Source]

    def is_configured(self, config: Config) -> bool:
        """Whether the configuration holds the source's section, and something in it."""
        value: Any = config
        for key in self.section.split("."):
            value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
        return value is not None and value != ()
