"""The product watches a recording: real detectors, learning, incidents and diagnosis, by a clock that is moved.

What is simulated is the store's answers (`bench.worlds.replay`), the time, and a human who acknowledges each page and
resolves its incident once it has recovered.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import structlog

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from bench.worlds.replay import Replay
from bench.worlds.sampled_traces import Draw
from chaos.worlds.recording import Recording
from collectors.releases import FORGOTTEN_S, Releases
from detectors.detector import Setup
from detectors.learning.loop import Learner
from detectors.live import Live
from rca.learning.causes import Causes
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.roles.acting import Acting
from watchkeeper.roles.diagnosing import Diagnosing
from watchkeeper.roles.watch import CHANGES_EVERY_S, EDGES_BACK_S, EDGES_EVERY_S
from watchkeeper.state.changes import changes_between, record_change
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Window, utc

WARM_S: Final = 900  # seconds that the detectors may read before they are asked
TICK_S: Final = 5
AFTER_BUCKET_S: Final = 2.6  # a role ticks so long after a bucket's end, when it is complete
ACKNOWLEDGED_AFTER_S: Final = 60.0
RESOLVED_AFTER_S: Final = 120.0  # after the recovery: as long as a return counts to the same incident
MOST_OPEN: Final = 200
ON_CALL: Final = Actor(name="on call", via="bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An incident that paged. Seconds are from the recording's start.

    Attributes:
        paged_s: when the human was paged.
        services: of its findings that page, when it paged and at the end: a finding may come back as a ticket.
        summaries: of its findings when it paged, those that page first.
        at_page, at_last: the diagnosis that came with the page, and the last one.
    """

    paged_s: float
    services: tuple[str, ...]
    summaries: tuple[str, ...]
    at_page: Diagnosis | None
    at_last: Diagnosis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An incident that a human finds without being woken, whether or not it paged later.

    `noticed` is when which service came to it.
    """

    opened_s: float
    summary: str
    noticed: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of watching a recording. `problems` are parts of the product that failed: there should be none."""

    pages: tuple[Page, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    problems: tuple[str, ...] = ()


def watch(recording: Recording, draw: Draw | None = None, tick_s: int = TICK_S) -> Watched:
    """Everything that a human would have been shown; `draw` gives single requests as spans."""
    with _quiet(), tempfile.TemporaryDirectory(dir=_memory()) as folder:
        return _Watch(recording, draw, Path(folder)).run(tick_s)


class _Watch:
    """One recording, watched. As `watchkeeper.roles.watch` connects the parts."""

    def __init__(self, recording: Recording, draw: Draw | None, folder: Path) -> None:
        config = Config(data_dir=folder)
        self._recording = recording
        self._replay = Replay(recording, draw)
        self._clock = FrozenClock(utc(float(recording.start)))
        self._problems = Problems(None)
        self._db = Database.open(f"sqlite:///{folder / 'state.sqlite'}")
        self._incidents = Incidents.configured(config, self._db, self._clock, problems=self._problems)
        self._learner = Learner(self._db, self._clock, config.learning)
        self._live = Live(
            history_s=config.watch.history_minutes * 60,
            version=self._learner.version(),
            setup=Setup(clear_s=config.watch.clear_s),
            problems=self._problems,
            late_s=config.watch.late_s,
        )
        acting = Acting(config, self._db, self._incidents, self._problems)
        causes = Causes(self._db, self._incidents, self._clock, config.learning, self._problems)
        # A diagnosis reads what `rca.live.reading.Reader` names, and the replay has all of it.
        reader = cast("Telemetry", self._replay)
        self._diagnosing = Diagnosing(reader, self._db, self._incidents, acting, causes, self._problems)
        self._releases = Releases()
        self._settle_s = config.watch.settle_s
        self._edges: tuple[tuple[str, str], ...] = ()
        self._at_page: dict[str, Incident] = {}
        self._any_open = self._waits_for_page = False
        self._changes = sorted(recording.changes, key=lambda change: change.at)

    def run(self, tick_s: int) -> Watched:
        start = self._recording.start
        try:
            for second in range(WARM_S, self._recording.seconds):
                now = start + second + AFTER_BUCKET_S % 1.0
                self._replay.now = now
                self._clock.advance(now - self._clock.now().timestamp())
                if second % CHANGES_EVERY_S == 0:
                    self._look_for_changes()
                if (second - int(AFTER_BUCKET_S)) % tick_s == 0:
                    self._tick(second)
                if self._waits_for_page or (self._any_open and (second - int(AFTER_BUCKET_S)) % tick_s == 1 % tick_s):
                    self._answer()
            return self._watched()
        finally:
            self._db.close()

    def _look_for_changes(self) -> None:
        """Take what was announced since the last look, and whatever changed without."""
        now = self._clock.now()
        while self._changes and self._changes[0].at <= now:
            record_change(self._db, self._changes.pop(0))
        announced = changes_between(self._db, Window.last(FORGOTTEN_S, until=now))
        for change in self._releases.look(self._replay, now.timestamp(), announced):
            record_change(self._db, change)

    def _tick(self, second: int) -> None:
        now = self._clock.now()
        findings = self._live.tick(self._replay, now)
        if not self._edges or second % EDGES_EVERY_S == int(AFTER_BUCKET_S):
            table = self._replay.edges(Window.last(EDGES_BACK_S, until=now), EDGES_BACK_S)
            self._edges = tuple(sorted(set(zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True))))
        kept = self._learner.judge(findings, now, self._edges)
        opened = self._incidents.observe(kept, edges=self._edges, now=now, judged=self._live.judged)
        self._any_open = self._any_open or bool(opened)

    def _answer(self) -> None:
        """Diagnose and page what is due; then the human does what is theirs."""
        now = self._clock.now()
        self._diagnosing.run(now, self._settle_s)
        still_open = self._incidents.list("open", MOST_OPEN)
        self._any_open = bool(still_open)
        self._waits_for_page = any(one.severity == "page" and one.paged_at is None for one in still_open)
        for incident in still_open:
            if incident.paged_at is not None:
                self._at_page.setdefault(incident.id, incident)
            if incident.human_state == "paged" and _passed(incident.paged_at, now) >= ACKNOWLEDGED_AFTER_S:
                self._incidents.acknowledge(incident.id, ON_CALL, "acknowledged")
            if _passed(incident.recovered_at, now) >= RESOLVED_AFTER_S:
                self._incidents.resolve(incident.id, ON_CALL, "resolved")

    def _watched(self) -> Watched:
        incidents = sorted(self._incidents.list(None, 10_000), key=lambda one: (one.opened_at, one.service, one.title))
        problems = [f"{one.loop}: {one.subject}: {one.reason}" for one in self._problems.current()]
        return Watched(
            pages=tuple(self._page(incident) for incident in incidents if incident.paged_at is not None),
            tickets=tuple(
                self._ticket(incident) for incident in incidents if incident.severity == "ticket" or incident.raised_at
            ),
            problems=tuple(sorted(problems)),
        )

    def _ticket(self, incident: Incident) -> Ticket:
        counted = [finding for finding in incident.findings if finding.severity != "detail"]
        noticed = [(max(finding.onset, incident.opened_at), finding.service) for finding in counted]
        return Ticket(
            opened_s=self._seconds(incident.opened_at),
            summary=_described(min(counted, key=lambda finding: (finding.severity != "ticket", finding.onset))),
            noticed=tuple((self._seconds(at), service) for at, service in noticed),
        )

    def _seconds(self, at: datetime) -> float:
        return at.timestamp() - self._recording.start

    def _page(self, incident: Incident) -> Page:
        then = self._at_page.get(incident.id, incident)
        shown = sorted(then.findings, key=lambda finding: (finding.severity != "page", finding.onset, finding.key))
        return Page(
            paged_s=self._seconds(incident.paged_at or incident.opened_at),
            services=tuple(
                sorted({one.service for one in (*then.findings, *incident.findings) if one.severity == "page"})
            ),
            summaries=tuple(_described(finding) for finding in shown),
            at_page=then.diagnosis,
            at_last=incident.diagnosis,
        )


def _passed(since: datetime | None, now: datetime) -> float:
    """Seconds since something happened; -1 if it has not."""
    return -1.0 if since is None else (now - since).total_seconds()


def _described(finding: Finding) -> str:
    return f"{finding.detector}: {finding.summary}"


def _memory() -> str | None:
    """Where temporary files stay in memory: the state database syncs every transaction."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines: thousands of incidents would hide what is reported."""
    before: dict[str, Any] = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
