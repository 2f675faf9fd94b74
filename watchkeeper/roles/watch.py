"""The watch role: detect, diagnose, page, act, learn. The one place where those rooms meet.

Five jobs on one scheduler, each alone with itself and none waiting for another:

    tick     read, judge, open and clear incidents        every watch.tick_s
    diagnose explain incidents that are new or still fire  every second
    page     timers that came due, messages to send        twice a second
    act      runbooks that a human approved                twice a second
    learn    labels into the next model version            every few seconds

All that must survive is in the state database. A kill at any instruction is mended by the next start.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram

from alerting.incidents import Incidents
from alerting.machine import Incident
from detectors.live import Live
from detectors.openslo import read as read_objectives
from rca.live import diagnose
from runbooks.execute import execute
from runbooks.library import load_runbooks
from runbooks.propose import propose
from runbooks.target import Target
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.learning.loop import Learner
from watchkeeper.learning.monitors import watch_the_watcher
from watchkeeper.learning.suppression import reopenings
from watchkeeper.roles import ready
from watchkeeper.roles.paging import Paging
from watchkeeper.roles.telemetry import HealthServer, configure_logs, trace_role
from watchkeeper.state.changes import changes_between
from watchkeeper.state.database import Database
from watchkeeper.state.findings import firing_alerts
from watchkeeper.state.readiness import record_readiness
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Diagnosis, Finding, Window

TICKS = Counter("watchkeeper_ticks_total", "Ticks, by outcome.", ["outcome"])
FIRING = Gauge("watchkeeper_findings_firing", "Findings that fire now.", ["severity"])
DIAGNOSIS_SECONDS = Histogram("watchkeeper_diagnosis_seconds", "Time of one diagnosis.")
JOB_FAILURES = Counter("watchkeeper_job_failures_total", "Rounds of a job that failed.", ["job"])

# When an incident is explained: once it settled, and again as evidence gathers, while it is young.
DIAGNOSE_AFTER_S: Final = (0.0, 8.0, 16.0, 30.0, 60.0, 120.0)
CHANGES_BEFORE: Final = timedelta(hours=2)
EDGES_BACK_S: Final = 600
EDGES_EVERY_S: Final = 15
READINESS_EVERY_S: Final = 10


class Watch:
    """The jobs of one watch role."""

    def __init__(self, config: Config, telemetry: Telemetry, db: Database) -> None:
        self._config = config
        self._telemetry = telemetry
        self._db = db
        self._clock = SystemClock()
        self._logger = structlog.get_logger()
        self._tracer = trace.get_tracer("watchkeeper")
        self.incidents = Incidents(db, self._clock, config.oncall, ack_timeout_s=config.watch.ack_timeout_s)
        self._learner = Learner(db, self._clock, config.learning)
        self._live = Live(
            history_s=config.watch.history_minutes * 60,
            version=self._learner.version(),
            clear_s=config.watch.clear_s,
            slos=read_objectives(config.slo),
        )
        self._paging = Paging(config, db, self.incidents)
        self._runbooks = load_runbooks(config.runbooks.dir)
        self._target = Target(config.runbooks.target.url, config.runbook_target_token())
        self._edges: tuple[tuple[str, str], ...] = ()
        self._edges_read = 0.0
        self._readiness_told = 0.0
        self._rounds: dict[str, int] = {}
        self._about_ourselves: list[Finding] = []
        self.last_tick: datetime | None = None

    def tick(self) -> None:
        """Read, judge, open and clear."""
        now = self._clock.now()
        try:
            with self._tracer.start_as_current_span("tick"):
                outside = [*firing_alerts(self._db), *self._about_ourselves]
                found = self._live.tick(self._telemetry, now, outside)
                edges = self._call_graph(now)
                kept = self._learner.judge(found, now, edges)
                opened = self.incidents.observe(kept, edges=edges, now=now)
        except StoreError as error:
            # Without data nothing is judged and nothing clears: unknown is not healthy.
            TICKS.labels("no data").inc()
            self._logger.warning("tick.no_data", error=error.message)
            return
        TICKS.labels("ok").inc()
        for severity in ("page", "ticket"):
            FIRING.labels(severity).set(sum(finding.severity == severity for finding in kept))
        for incident_id in opened:
            incident = self.incidents.get(incident_id)
            self._logger.info("incident.opened", incident=incident_id, title=incident.title)
        self._tell_readiness()
        self.last_tick = now

    def diagnose(self) -> None:
        """Explain every incident that is due, and page for those that are explained for the first time."""
        now = self._clock.now()
        for incident in self.incidents.list("open"):
            if incident.system_state != "firing" and incident.diagnosis:
                continue
            settled = incident.opened_at + timedelta(seconds=self._config.watch.settle_s)
            done = self._rounds.get(incident.id, 1 if incident.diagnosis else 0)
            if done >= len(DIAGNOSE_AFTER_S) or now < settled + timedelta(seconds=DIAGNOSE_AFTER_S[done]):
                continue
            self._explain(incident, done, now)
            self._rounds[incident.id] = done + 1
            if incident.paged_at is None:
                self.incidents.page(incident.id)

    def _explain(self, incident: Incident, done: int, now: datetime) -> None:
        """One diagnosis. A page never waits for one that fails: it goes out without."""
        window = Window(start=incident.onset - CHANGES_BEFORE, end=now + timedelta(seconds=1))
        changes = changes_between(self._db, window)
        try:
            with self._tracer.start_as_current_span("diagnose"), DIAGNOSIS_SECONDS.time():
                diagnosis = diagnose(self._telemetry, changes, incident.findings, incident.onset, now)
        except WatchkeeperError as error:
            self._logger.warning("diagnosis.failed", incident=incident.id, error=error.message)
            return
        if done and incident.diagnosis and _same(diagnosis, incident.diagnosis):
            return
        proposal = propose(diagnosis, changes, self._runbooks)
        if incident.proposal_state not in ("none", "proposed"):
            proposal = None
        self.incidents.diagnosed(incident.id, diagnosis, proposal, f"diagnosed:{done}")
        first = diagnosis.suspects[0].service if diagnosis.suspects else None
        self._logger.info("incident.diagnosed", incident=incident.id, first=first, abstained=diagnosis.abstained)

    def page(self) -> None:
        """Timers that came due, then messages that wait."""
        self._paging.run(self._clock.now())

    def act(self) -> None:
        """Run what a human approved; also what a kill interrupted."""
        for incident in self.incidents.list("open"):
            if incident.proposal_state not in ("approved", "running") or incident.proposal is None:
                continue
            key = f"{incident.id}:{incident.proposal.runbook}:{incident.proposal.service}"
            self.incidents.run_started(incident.id, f"run:{key}")
            with self._tracer.start_as_current_span("runbook"):
                result = execute(incident.proposal, self._target, self._runbooks, self._db, incident.id, key)
            self.incidents.run_finished(incident.id, f"ran:{key}", succeeded=result.succeeded, text=result.text)
            self._logger.info("runbook.finished", incident=incident.id, succeeded=result.succeeded, text=result.text)

    def learn(self) -> None:
        """Labels into a new version when there are new ones; serve what was promoted."""
        now = self._clock.now()
        known = self._learner.run(now)
        self._about_ourselves = watch_the_watcher(
            known,
            self._learner.seconds_per_tick,
            now,
            reopened=reopenings(self._db),
            teams=self._config.learning.teams,
            unreadable=self._learner.unreadable,
        )
        self._live.red.version = self._learner.version()

    def _call_graph(self, now: datetime) -> tuple[tuple[str, str], ...]:
        """Who calls whom, as the last minutes show it."""
        if time.monotonic() - self._edges_read > EDGES_EVERY_S:
            table = self._telemetry.edges(Window.last(EDGES_BACK_S, until=now), EDGES_BACK_S)
            pairs = zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True)
            self._edges = tuple(sorted(set(pairs)))
            self._edges_read = time.monotonic()
        return self._edges

    def _tell_readiness(self) -> None:
        if time.monotonic() - self._readiness_told > READINESS_EVERY_S:
            record_readiness(self._db, self._live.readiness())
            self._readiness_told = time.monotonic()


def _same(one: Diagnosis, other: Diagnosis) -> bool:
    """Whether two diagnoses say the same to a human: the same suspects in the same order, for the same reasons."""

    def gist(diagnosis: Diagnosis) -> list[tuple[str, str]]:
        return [(suspect.service, suspect.mechanism) for suspect in diagnosis.suspects[:3]]

    return one.abstained == other.abstained and gist(one) == gist(other)


def run(config: Config) -> None:
    """Watch until SIGTERM or SIGINT."""
    configure_logs()
    logger = structlog.get_logger()
    trace_role(config, "watch")
    db = Database.open(config)
    watch = Watch(config, Telemetry.connect(config), db)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def guarded(name: str, job: Callable[[], None]) -> Callable[[], None]:
        def once() -> None:
            try:
                job()
            except Exception:
                JOB_FAILURES.labels(name).inc()
                logger.exception("job.failed", job=name)

        return once

    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(6)})
    jobs = {
        "tick": (watch.tick, config.watch.tick_s),
        "diagnose": (watch.diagnose, 1.0),
        "page": (watch.page, 0.5),
        "act": (watch.act, 0.5),
        "learn": (watch.learn, 5.0),
    }
    for name, (job, seconds) in jobs.items():
        scheduler.add_job(
            guarded(name, job),
            "interval",
            seconds=seconds,
            id=name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=60,
        )
    late = timedelta(seconds=max(30.0, 10 * config.watch.tick_s))

    def missing() -> str | None:
        if watch.last_tick is None or datetime.now(UTC) - watch.last_tick > late:
            return "no tick succeeded lately: is the store there?"
        return None

    health = HealthServer(missing)
    scheduler.start()
    ready.announce(config, "watch", {"health": health.port})
    logger.info("watch.ready", health_port=health.port)
    stopping.wait()
    scheduler.shutdown(wait=True)
    health.close()
    ready.withdraw(config, "watch")
    logger.info("watch.stopped")
