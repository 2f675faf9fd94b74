"""Every detector at every tick: read what is new, let each judge what it needs, return what fires.

All state is rebuilt from the store when the role starts, so that a restart forgets nothing that matters.

What one detector dies of costs the others nothing: it is set aside for this tick, and reported. What it found before
neither clears nor opens anew until it can judge again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Histogram

from detectors.arrivals.delays import Arrivals
from detectors.arrivals.lateness import as_it_was
from detectors.detector import Detector, DetectorPart, Seen, Setup, Warming
from detectors.histories import Histories, Rollups
from detectors.readiness import readiness
from detectors.registry import detectors, in_order
from watchkeeper.errors import StoreError
from watchkeeper.parts import Registry
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import Finding, Readiness

TICK_SECONDS = Histogram("watchkeeper_detector_tick_seconds", "Time of one tick over every series.")

# Readiness goes by these, whichever detectors are installed; without both of the last nothing can be judged at all.
ALWAYS_READ: Final = ("latency", "red", "logs")
LOOP: Final = "detectors"  # the name under which problems are reported


class Live:
    """The live detectors of one installation.

    Args:
        history_s: how much of the past the baselines use.
        setup: what the detectors are made with.
        version: the serving model's version, shown with each finding of requests.
        problems: where a detector that cannot judge is reported.
        late_s: telemetry that comes later than this is not judged.
        registry: the detectors; those that are installed, by default.
    """

    def __init__(
        self,
        *,
        history_s: float,
        setup: Setup = Setup(),  # noqa: B008 - frozen
        version: str = "1",
        problems: Problems | None = None,
        late_s: float = 600.0,
        registry: Registry[DetectorPart] | None = None,
    ) -> None:
        self.version = version
        self._logger = structlog.get_logger()
        self._problems = problems or Problems(None)
        self._history_s, self._setup = history_s, setup
        self._arrivals = Arrivals(late_s, self._problems)
        known = registry or detectors()
        for broken in known.broken:
            self._problems.report(LOOP, f"detector {broken.name}", f"cannot be loaded: {broken.reason}")
        self._parts = in_order(known.values().values())
        self._unjudged: frozenset[str] = frozenset()
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet: at the start, and where the clock stepped back."""
        self._detectors: dict[str, Detector] = {}
        for part in self._parts:
            self._works(f"detector {part.name}", lambda: self._make(part))  # noqa: B023 - called at once
        needed = {need for part in self._parts if part.name in self._detectors for need in part.needs}
        self._histories = Histories(self._history_s, needed | set(ALWAYS_READ))

    def _make(self, part: DetectorPart) -> None:
        self._detectors[part.name] = part.make(self._setup)

    def readiness(self) -> Mapping[str, Readiness]:
        """Whether the baselines of each service are ready, by service."""
        warming = [detector.waits() for detector in self._detectors.values() if isinstance(detector, Warming)]
        histories = self._histories.by_name()
        known = readiness(histories["red"], histories["latency"], warming)
        late = {service: self._arrivals.words(service) for service in known}
        return {
            service: replace(one, reason=f"{one.reason}; {late[service]}") if late[service] else one
            for service, one in known.items()
        }

    def tick(self, rollups: Rollups, now: datetime) -> list[Finding]:
        """Judge everything at `now`.

        Returns every finding that fires now. The same trouble has the same key at every tick, and a key that is
        no longer returned has cleared, if `judged` says so of its finding.

        Raises:
            StoreError: the store cannot be read; nothing is judged, nothing clears.
        """
        with TICK_SECONDS.time():
            why = self._histories.why_anew(now)
            if why:
                self._logger.warning("detectors.begin_anew", why=why)
                self._begin()
            self._unjudged = frozenset(part.name for part in self._parts)  # until it is judged, nothing is
            self._works("reading arrivals", lambda: self._histories.realign(self._arrivals.read(rollups, now)))
            aligned: Rollups = self._arrivals.aligned(rollups)
            unread = self._histories.read(aligned, now, self._works)
            delays = self._arrivals.delays()
            return [as_it_was(finding, delays) for finding in self._judge(aligned, now, unread)]

    def judged(self, finding: Finding) -> bool:
        """Whether the last tick judged what this finding is about, so that one that it did not return has cleared."""
        owners = [part.name for part in self._parts if part.owns(finding.detector)]
        return not owners or max(owners, key=len) not in self._unjudged

    def _judge(self, rollups: Rollups, now: datetime, unread: set[str]) -> list[Finding]:
        seen = Seen(
            now=now,
            histories=self._histories.by_name(),
            complete=self._histories.complete(now),
            lines=self._histories.lines(),
            served=rollups.served,
            clocks=self._arrivals.clocks_ahead(),
            model_version=self.version,
        )
        findings: list[Finding] = []
        unjudged = set()
        for part in self._parts:
            detector = self._detectors.get(part.name)
            if detector is None or not unread.isdisjoint(part.needs):
                unjudged.add(part.name)
                continue
            now_seen = replace(seen, findings=tuple(findings))
            if not self._works(
                f"detector {part.name}",
                lambda: findings.extend(_own(part, detector.judge(now_seen))),  # noqa: B023 - called at once
            ):
                unjudged.add(part.name)
        self._unjudged = frozenset(unjudged)
        return findings

    def _works(self, subject: str, work: Callable[[], None]) -> bool:
        """Do one part of a tick; what it dies of is reported, and the other parts go on.

        Raises:
            StoreError: the store cannot be reached: that is no part's own trouble.
        """
        try:
            work()
        except StoreError as error:
            if error.retry:
                raise
            self._problems.report(LOOP, subject, error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a detector dies of, the others must judge
            self._problems.report(LOOP, subject, error)
            return False
        self._problems.solved(LOOP, subject)
        return True


def _own(part: DetectorPart, findings: Collection[Finding]) -> Collection[Finding]:
    """A detector's findings, which must carry its name: labels and clearing go by it.

    Raises:
        TypeError: it returned something else than findings.
        ValueError: one carries another name.
    """
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"`judge` must return findings, not {type(finding).__name__}")
        if not part.owns(finding.detector):
            raise ValueError(f"a finding's detector is {finding.detector!r}; it must be {part.name!r} or begin with it")
    return findings
