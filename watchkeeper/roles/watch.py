"""The watch role: detect, diagnose, page, act, learn. The one place where those packages meet.

Fifteen jobs, each alone with itself and none waiting for another:

    alerts   alerts from outside: open and clear incidents  every second or two, without the store
    tick     read, judge, open and clear incidents          every watch.tick_s
    diagnose explain incidents that are new or still fire   every second
    rota     the newest version of the rota                 every second
    timers   timers that came due                           twice a second
    page …   messages to send, a job for each channel       twice a second
    pictures the evidence, where a channel shows pictures   every few seconds
    canary   an alert of our own, from the webhook on        every hour
    act      runbooks that a human approved                 twice a second
    changes  deploys that nobody announced                  every 15 seconds
    learn    labels into the next model version             every few seconds
    experiments  scheduled experiments that are due         every few seconds, where there are any
    stakeholders  news to those who are informed            every two seconds
    status …     the public status page, and its e-mails      where they are configured
    backup   the state database's daily copy                when a day has passed

All that must survive is in the state database. A kill at any instruction is repaired by the next start.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from opentelemetry import trace
from prometheus_client import Counter, Gauge

from alerting.canary.canary import own_alerts
from alerting.incidents.commands import Incidents
from alerting.oncall.applying import start_with_file
from alerting.oncall.escalation import MACHINE
from alerting.oncall.in_force import LOOK_EVERY_S, RotaInForce
from alerting.status_page.informing import Informing
from alerting.status_page.mailing import Mailing, mail_server
from alerting.status_page.publication import publish
from alerting.status_page.updates import StatusUpdates
from chaos.metrics import export
from chaos.truth import settle
from collectors.releases import FORGOTTEN_S, Releases
from detectors.detector import Setup
from detectors.learning.loop import Learner
from detectors.learning.monitors import WATCHER, watch_the_watcher
from detectors.learning.suppression import reopenings
from detectors.live import Live
from detectors.recorded_readiness import record_readiness
from detectors.slo.preflight import readable_objectives
from rca.learning.causes import Causes
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.problems import Problems
from watchkeeper.roles import ready
from watchkeeper.roles.acting import Acting
from watchkeeper.roles.canary import open_canary
from watchkeeper.roles.diagnosing import Diagnosing
from watchkeeper.roles.experimenting import experiment_jobs
from watchkeeper.roles.impact import measure_impacts
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.loops import Job, Loops
from watchkeeper.roles.paging import Paging, open_configured
from watchkeeper.roles.picturing import Picturing
from watchkeeper.roles.readiness import missing, noted
from watchkeeper.roles.registered import broken_parts, report_broken
from watchkeeper.roles.state_file import back_up_and_report, look_after_as
from watchkeeper.roles.telemetry import HealthServer, trace_role
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.changes import changes_between, record_change
from watchkeeper.state.database import Database
from watchkeeper.state.heartbeats import expect_heartbeats, missed_heartbeats
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Finding, Window

TICKS = Counter("watchkeeper_ticks_total", "Ticks, by outcome.", ["outcome"])
FIRING = Gauge("watchkeeper_findings_firing", "Findings that fire now.", ["severity"])

# Ticks are in step with the loads of telemetry: by default, each comes just after a bucket is complete.
TICK_AT_S: Final = 2.6
EDGES_BACK_S: Final = 600
EDGES_EVERY_S: Final = 15
READINESS_EVERY_S: Final = 10
ALERTS_EVERY_S: Final = 2.0
CHANGES_EVERY_S: Final = 15.0
IMPACT_EVERY_S: Final = 20.0
STATUS_EVERY_S: Final = 30.0
MAILS_EVERY_S: Final = 2.0
SCORECARD_EVERY_S: Final = 60.0
PICTURES_EVERY_S: Final = 5.0
CANARY_EVERY_S: Final = 2.0  # how often is looked how far it is
BACKUP_EVERY_S: Final = 120.0  # how often is asked whether a day has passed
STORE: Final = "the telemetry store"
# How long a round may go on without a sign of life, at least; and how many times `roles.hung_after_s` it may where
# messages are sent or the store is asked for much, and where steps of a runbook or learning are waited for.
SHORTEST_S: Final = 120.0
LONG: Final = 6.0
VERY_LONG: Final = 60.0


# What this role is made of, beside detectors and channels, which report themselves.
PART_KINDS: Final = ("evidence", "step", "target")


class Reader(Telemetry):
    """The watch role's reader: a store that hangs is away, for a tick that could do more without it."""

    timeout_s = 30.0
    beat: Callable[[], None] = staticmethod(lambda: None)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """As Telemetry's; a job that asks much of a slow store still turns."""
        self.beat()
        return super().query(sql, parameters)


class Watch:
    """The jobs of one watch role."""

    def __init__(self, config: Config, telemetry: Reader, db: Database, problems: Problems) -> None:
        self._config = config
        self._telemetry = telemetry
        self._db = db
        self._problems = problems
        self._clock = SystemClock()
        self._began = self._clock.now()
        self._logger = structlog.get_logger()
        self._tracer = trace.get_tracer("watchkeeper")
        channels = open_configured(config, db, problems)
        self.incidents = Incidents.configured(
            config, db, self._clock, channels=tuple(channels.channels), problems=problems, beat=self._beat
        )
        self._learner = Learner(db, self._clock, config.learning)
        self._live = Live(
            history_s=config.watch.history_minutes * 60,
            version=self._learner.version(),
            setup=Setup(clear_s=config.watch.clear_s, objectives=readable_objectives(config.slo, problems)),
            problems=problems,
            late_s=config.watch.late_s,
        )
        self._paging = Paging(config, db, self.incidents, problems, self._beat, channels)
        self._mailing: Mailing | None = None
        self._informing = Informing(config, db, self._clock, problems, self._beat)
        self._picturing = Picturing(config, telemetry, db, self.incidents, channels, problems)
        self._canary = open_canary(config, db, self._clock, self.incidents, problems)
        self._rota = RotaInForce(db, config, problems)
        self._acting = Acting(config, db, self.incidents, problems, telemetry)
        self._causes = Causes(db, self.incidents, self._clock, config.learning, problems)
        self._diagnosing = Diagnosing(telemetry, db, self.incidents, self._acting, self._causes, problems)
        self._releases = Releases()
        self._edges: tuple[tuple[str, str], ...] = ()
        self._edges_read: float | None = None
        self._readiness_recorded: float | None = None
        self._scorecard_exported: float | None = None
        self._about_ourselves: list[Finding] = []
        self._outside: list[Finding] = []
        self._outside_is_over = False  # nothing fires, and the last round has cleared whatever did
        self.ticked_at: float | None = None  # by the clock that nobody can set

    def _beat(self) -> None:
        self._telemetry.beat()

    def alerts(self) -> None:
        """Alerts from outside, and tickets about ourselves: neither needs the telemetry store."""
        now = self._clock.now()
        known, unreadable = read_alerts(self._db, now)
        own, firing = own_alerts(self._db, known)
        for key, why in unreadable.items():
            self._problems.report("alerts", f"alert {key}", why)
        try:
            followed = self._learner.follow_outside(firing, now)
        except Exception as error:  # noqa: BLE001 - they page without what would be learned from them
            self._problems.report("alerts", "changes before alerts", error)
            followed = list(firing)
        missed = missed_heartbeats(self._db, self._config.heartbeats, now, self._began)
        outside = [*followed, *missed, *self._about_ourselves]
        findings = [*outside, *own]
        nothing_fires = not findings and not unreadable
        if nothing_fires and self._outside_is_over:
            return
        opened = self.incidents.observe(
            findings, edges=self._edges, now=now, judged=lambda one: _is_outside(one) and one.key not in unreadable
        )
        self._outside = outside
        self._outside_is_over = nothing_fires
        self._announce(opened)

    def tick(self) -> None:
        """Read, judge, open and clear."""
        now = self._clock.now()
        try:
            with self._tracer.start_as_current_span("tick"):
                findings = self._live.tick(self._telemetry, now)
                self._read_call_graph(now)
        except StoreError as error:
            # Without data nothing is judged and nothing clears: unknown is not healthy.
            TICKS.labels("no data").inc()
            self._diagnosing.store_is_away = True
            self._problems.report("tick", STORE, f"{error.message}; no detector judges")
            return
        self._diagnosing.store_is_away = False
        self._problems.solved("tick", STORE)
        kept = self._kept(findings, now)
        opened = self.incidents.observe(
            kept, edges=self._edges, now=now, judged=lambda one: not _is_outside(one) and self._live.judged(one)
        )
        TICKS.labels("ok").inc()
        fire = [*kept, *self._outside]
        for severity in ("page", "ticket", "detail"):
            FIRING.labels(severity).set(sum(finding.severity == severity for finding in fire))
        self._announce(opened)
        self._tell_readiness()
        self.ticked_at = time.monotonic()

    def _kept(self, findings: Sequence[Finding], now: datetime) -> list[Finding]:
        """The findings, those suppressed that labels have shown to warrant no page."""
        try:
            kept = self._learner.judge(findings, now, self._edges)
        except WatchkeeperError:
            raise  # the database failed: the next tick comes, and what is suppressed does not page meanwhile
        except Exception as error:  # noqa: BLE001 - noise is safe, silence is not
            self._problems.report("tick", "what was learned", error)
            return list(findings)
        self._problems.solved("tick", "what was learned")
        return kept

    def _announce(self, opened: Sequence[str]) -> None:
        for incident_id, incident in self.incidents.those(opened).items():
            self._logger.info("incident.opened", incident=incident_id, title=incident.title)

    def diagnose(self) -> None:
        """Explain every incident that is due, and page for those that are explained for the first time."""
        self._diagnosing.run(self._clock.now(), self._config.watch.settle_s)

    def timers(self) -> None:
        """Timers that came due."""
        self._paging.fire(self._clock.now())

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that work."""
        return self._paging.channels

    def page(self, channel: str) -> None:
        """Messages that wait for one channel."""
        self._paging.deliver(self._clock.now(), channel)

    def picture(self) -> None:
        """Pictures of the evidence, for messages that are there already."""
        self._picturing.run(self._clock.now())

    def canary(self) -> None:
        """The alert that we raise for ourselves: begin it, page it to nobody, follow it."""
        self._paging.deliver_canary(self._clock.now())
        self._canary.run()

    def act(self) -> None:
        """Run what a human approved; also what a kill interrupted."""
        self._acting.act()

    def changes(self) -> None:
        """Deploys that nobody announced. Without the store there are none to see; the tick reports that."""
        if self._diagnosing.store_is_away:
            return
        now = self._clock.now()
        announced = changes_between(self._db, Window.last(FORGOTTEN_S, until=now))
        for change in self._releases.look(self._telemetry, now.timestamp(), announced):
            record_change(self._db, change)
            self._logger.info("change.seen", service=change.service, kind=change.kind, title=change.title)

    def learn(self) -> None:
        """Labels into a new version when there are new ones; serve what was promoted."""
        now = self._clock.now()
        settle(self._db, now, self._problems)
        self._export_scorecard(now)
        known = self._learner.run(now)
        self._about_ourselves = watch_the_watcher(
            known,
            self._learner.seconds_per_tick,
            now,
            reopened=reopenings(self._db),
            teams=self._config.learning.teams,
            unreadable=self._learner.unreadable,
        )
        self._live.version = self._learner.version()
        self._causes.learn()

    def _export_scorecard(self, now: datetime) -> None:
        if self._scorecard_exported is None or time.monotonic() - self._scorecard_exported > SCORECARD_EVERY_S:
            export(self._db, now)
            self._scorecard_exported = time.monotonic()

    def measure(self) -> None:
        """The impact of incidents that are over, for their postmortems."""
        if not self._diagnosing.store_is_away:
            measure_impacts(self._config, self._telemetry, self._db, self._problems, self._clock.now())

    def publish_status(self) -> None:
        """The public status page, where a folder is configured."""
        if self._config.status_page.dir:
            updates = StatusUpdates(self._db, self._clock, self._config)
            publish(updates, self._config, self._config.status_page.dir, self._clock.now())

    def mail_status(self) -> None:
        """Public updates to their subscribers, where e-mails can be sent."""
        if self._mailing is None:
            server = mail_server(self._config)
            if server is None:
                return
            self._mailing = Mailing(self._config, self._db, self._clock, server, self._problems, self._beat)
        self._mailing.run()

    def inform(self) -> None:
        """News to stakeholders, where the rota names any."""
        self._informing.run()

    def begin(self, config_path: Path | None = None) -> None:
        """What must be settled before the first round. The file at `config_path` owns the rota."""
        self._acting.give_up_what_was_restored(self._config)
        expect_heartbeats(self._db, self._config.heartbeats, self._began)
        source = str(config_path.absolute()) if config_path else ""
        start_with_file(self._db, self._config, source, self._clock.now(), MACHINE, self._problems)
        self.follow_rota()

    def follow_rota(self) -> None:
        """Use the newest version of the rota."""
        if self._rota.look():
            self._logger.info("rota.in_force", version=self._rota.version)

    def back_up(self) -> None:
        """The state database's daily copy, and a word on every damaged one that is kept."""
        back_up_and_report(self._config, self._problems, self._clock.now())

    def _read_call_graph(self, now: datetime) -> None:
        """Who calls whom, as the last minutes show it; where that cannot be read, what was known before stands."""
        if self._edges_read is not None and time.monotonic() - self._edges_read <= EDGES_EVERY_S:
            return
        try:
            table = self._telemetry.edges(Window.last(EDGES_BACK_S, until=now), EDGES_BACK_S)
        except StoreError as error:
            if error.retry:
                raise
            self._problems.report("tick", "the call graph", error)
            return
        pairs = zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True)
        self._edges = tuple(sorted(set(pairs)))
        self._edges_read = time.monotonic()
        self._problems.solved("tick", "the call graph")

    def _tell_readiness(self) -> None:
        if self._readiness_recorded is None or time.monotonic() - self._readiness_recorded > READINESS_EVERY_S:
            record_readiness(self._db, self._live.readiness())
            self._readiness_recorded = time.monotonic()


def _is_outside(finding: Finding) -> bool:
    """Whether a finding comes from the state database alone: another system's alert, or a ticket about ourselves."""
    return finding.kind == "alert" or finding.detector == WATCHER


def run(config: Config, config_path: Path | None) -> None:
    """Watch until SIGTERM or SIGINT. Processes that it starts read the configuration from `config_path`."""
    with alive(config, "watch") as life:
        _watch(life, config_path)


def _watch(life: Life, config_path: Path | None) -> None:
    config, heart = life.config, life.heart
    logger = structlog.get_logger()
    trace_role(config, "watch")
    look_after_as(life)
    db = Database.open(config)
    heart.enter_phase("loading models and runbooks")
    report_broken(life.problems, broken_parts(*PART_KINDS))
    telemetry = Reader.connect(config)
    telemetry.beat = lambda: heart.beat(threading.current_thread().name)
    watch = Watch(config, telemetry, db, life.problems)
    watch.begin(config_path)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    tick_s = config.watch.tick_s
    jobs = (
        Job(name="alerts", work=watch.alerts, every_s=min(tick_s, ALERTS_EVERY_S)),
        Job(name="tick", work=watch.tick, every_s=tick_s, at_s=TICK_AT_S),
        Job(name="diagnose", work=watch.diagnose, every_s=1.0),
        Job(name="rota", work=watch.follow_rota, every_s=LOOK_EVERY_S),
        Job(name="timers", work=watch.timers, every_s=0.5, times=LONG),
        *(Job(name=f"page {name}", work=partial(watch.page, name), every_s=0.5, times=LONG) for name in watch.channels),
        Job(name="pictures", work=watch.picture, every_s=PICTURES_EVERY_S, core=False, times=LONG),
        Job(name="canary", work=watch.canary, every_s=CANARY_EVERY_S, core=False, times=LONG),
        Job(name="act", work=watch.act, every_s=0.5, times=VERY_LONG),
        Job(name="changes", work=watch.changes, every_s=CHANGES_EVERY_S, core=False, times=LONG),
        Job(name="learn", work=watch.learn, every_s=5.0, core=False, times=VERY_LONG),
        Job(name="impact", work=watch.measure, every_s=IMPACT_EVERY_S, core=False, times=LONG),
        *(
            (Job(name="status page", work=watch.publish_status, every_s=STATUS_EVERY_S, core=False),)
            if config.status_page.dir
            else ()
        ),
        *(
            (Job(name="status mails", work=watch.mail_status, every_s=MAILS_EVERY_S, core=False, times=LONG),)
            if config.status_page.subscriptions.channel
            else ()
        ),
        Job(name="stakeholders", work=watch.inform, every_s=MAILS_EVERY_S, core=False, times=LONG),
        *experiment_jobs(config, config_path, db, life.problems),
    )
    for job in jobs:
        heart.expect(job.name, job.every_s + max(SHORTEST_S, job.times * config.roles.hung_after_s))
    loops = Loops(jobs, life.problems, stopping, heart.beat)
    late_s = max(30.0, 10 * tick_s)

    def own() -> str | None:
        if watch.ticked_at is None or time.monotonic() - watch.ticked_at > late_s:
            return "no tick succeeded lately: is the store there?"
        return loops.failing()

    health = HealthServer(lambda: missing(life, own()), lambda: noted(life))
    daily = Job(name="backup", work=watch.back_up, every_s=BACKUP_EVERY_S, core=False)
    # What goes by the calendar goes by the wall's clock; what somebody waits for must not.
    calendar = BackgroundScheduler(timezone=UTC)
    calendar.add_job(
        loops.once, "interval", (daily,), seconds=daily.every_s, next_run_time=datetime.now(UTC), coalesce=True
    )
    loops.start()
    calendar.start()
    ready.announce(config, "watch", {"health": health.port})
    logger.info("watch.ready", health_port=health.port)
    life.wait(stopping)
    calendar.shutdown(wait=False)
    loops.join()
    health.close()
    ready.withdraw(config, "watch")
    logger.info("watch.stopped")
