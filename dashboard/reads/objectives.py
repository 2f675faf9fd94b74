"""What the pages read of objectives: which there are, and the requests that each counts, by the minute."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from dashboard.reads.cache import Cache
from detectors.slo.minutes import Minutes
from detectors.slo.openslo import Slo
from detectors.slo.preflight import readable_objectives
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.store.recording import note, recording
from watchkeeper.store.telemetry import Telemetry

FILES_S: Final = 30.0  # so long a change of the files may wait
EVERY_S: Final = 15.0  # requests are by the minute
FRESH_S: Final = 180.0  # read again at each time: what came late still counts
KEPT_S: Final = 7200.0  # what nobody looked at for so long is read completely again


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """The objectives that can be read, by name, and the files that cannot, with their first mistake."""

    by_name: Mapping[str, Slo]
    problems: Sequence[str]


class ObjectiveReads:
    """Reads of objectives. Threads may share one: a month of requests is read once, and then only what is new."""

    def __init__(self, telemetry: Telemetry, config: Config, clock: Clock) -> None:
        self._telemetry = telemetry
        self._config = config
        self._clock = clock
        self._files = Cache(FILES_S)
        self._problems = Problems(None)  # each is logged once, not at every reading
        self._lock = threading.Lock()
        self._minutes: dict[Slo, tuple[Minutes, datetime]] = {}

    def all(self) -> Objectives:
        """The objectives of the files under `slo` in the configuration."""

        def load() -> Objectives:
            found = readable_objectives(self._config.slo, self._problems)
            reasons = [one.reason for one in self._problems.current()]
            return Objectives(by_name={slo.name: slo for slo in found}, problems=reasons)

        return self._files.get("objectives", load)

    def minutes(self, slo: Slo) -> Minutes:
        """The requests that an objective counts, until now. Do not change it. Raises StoreError."""
        with self._lock:
            now = self._clock.now()
            minutes, until = self._minutes.get(slo, (None, now))
            age = (now - until).total_seconds()
            if minutes is not None and 0 <= age < EVERY_S:
                return minutes
            if minutes is None or not 0 <= age < KEPT_S:
                minutes, back = Minutes(slo.window_s), float(slo.window_s)
            else:
                minutes, back = minutes.copy(), age + FRESH_S
            with recording() as made:
                minutes.read(slo, self._telemetry.served, now, back)
            note([replace(one, read="minutes") for one in made])
            self._minutes[slo] = (minutes, now)
            return minutes
