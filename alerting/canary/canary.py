"""The canary: an alert of Watchkeeper's own that goes the way of every page, up to an automatic acknowledgement.

1. When a run is due, it is a row; its id is in the alert that is posted to the webhook, as another system posts one.
2. Whoever looks for alerts opens an incident for it, a timer pages, the outbox has the page, and a channel sends it.
3. A page that was sent is acknowledged and resolved. The run has passed.
4. If that takes too long, the first link that did not hold is looked up, and whoever is on call is told directly: past
   the incident, the outbox and the timers, of which one may be what is broken.

Each step is read from the database, so a kill at any instruction is continued by the next start. The canary's incident
is in no list, digest or figure, teaches nothing, and no silence covers it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import select

from alerting.canary.runs import CanaryRun, Outcome, begin_run, end_run, newest_runs, record_notified
from alerting.incidents.commands import Incidents
from watchkeeper.clock import Clock
from watchkeeper.config import CanaryConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.schema import findings, outbox
from watchkeeper.text import one_line
from watchkeeper.vocabulary import CANARY, Actor, Finding

RUNS = Counter("watchkeeper_canary_runs_total", "Alerts that Watchkeeper raised for itself, by outcome.", ["outcome"])
TOOK = Gauge("watchkeeper_canary_seconds", "From the newest alert of its own to its acknowledgement.")
HEALTHY = Gauge("watchkeeper_canary_healthy", "1 if the newest alert of its own came through, else 0.")
ACTOR: Final = Actor(name="Canary", via="system")
LABEL: Final = "watchkeeper_canary"
NAME: Final = "WatchkeeperCanary"
LOOP: Final = "canary"
# Nothing is proved by an alert that is sent while the other roles still start.
FIRST_AFTER: Final = timedelta(minutes=5)
# Nobody could be told of a failure: try again so often, until the next run.
TELL_AGAIN: Final = timedelta(minutes=1)

# Posts a body to the webhook for alerts; raises with the reason where that fails.
Post = Callable[[Mapping[str, Any]], None]
# Tells whoever is on call, given a key and a text; who was told. Raises where nobody could be.
Tell = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come: its incident, and whether that was paged, put in the outbox and sent."""

    incident_id: str = ""
    paged: bool = False
    waits: bool = False
    sent: bool = False
    error: str = ""


@dataclass(kw_only=True)
class Canary:
    """The canary of one watch role. `began` is when that started."""

    config: CanaryConfig
    db: Database
    clock: Clock
    incidents: Incidents
    post: Post
    tell: Tell
    problems: Problems
    began: datetime
    _post_error: str = ""
    _posted: str = ""
    _told_at: datetime | None = field(default=None)

    def run(self) -> None:
        """One step: begin a run, follow the one that goes on, or tell somebody of the one that failed."""
        if not self.config.enabled:
            return
        now = self.clock.now()
        newest = next(iter(newest_runs(self.db)), None)
        if newest and newest.ended is None:
            self._follow(newest, now)
        elif newest and newest.outcome == "failed" and not newest.notified and self._may_tell(now):
            self._tell(newest, now)
        if self._is_due(newest, now):
            run = CanaryRun(id=secrets.token_hex(8), began=now)
            with self.db.write() as connection:
                begin_run(connection, run, self.config.every_s)

    def _is_due(self, newest: CanaryRun | None, now: datetime) -> bool:
        if now < self.began + FIRST_AFTER or (newest and newest.ended is None):
            return False
        # A clock that was set back must not stop it for as long.
        return newest is None or not timedelta(0) <= now - newest.began < timedelta(seconds=self.config.every_s)

    def _follow(self, run: CanaryRun, now: datetime) -> None:
        progress = self._progress(run)
        if progress.sent:
            self._acknowledge(run, progress, now)
        elif not timedelta(0) <= now - run.began <= timedelta(seconds=self.config.within_s):
            self._fail(run, progress, now)
        elif not progress.incident_id and self._posted != run.id:
            self._send(run)

    def _send(self, run: CanaryRun) -> None:
        """Post the alert; one that was posted before is the same one."""
        try:
            self.post(_webhook(run))
        except Exception as error:  # noqa: BLE001 - whatever it dies of is what the run reports, if it fails
            self._post_error = one_line(error, 400)
        else:
            self._posted, self._post_error = run.id, ""

    def _progress(self, run: CanaryRun) -> Progress:
        """How far a run has come, as the database has it."""
        with self.db.read() as connection:
            mine = findings.c.service == _service(run)
            incident_id = connection.scalar(select(findings.c.incident_id).where(mine).limit(1))
            if not incident_id:
                return Progress()
            errors = connection.scalars(select(outbox.c.error).where(outbox.c.incident_id == incident_id)).all()
        incident = self.incidents.get(incident_id)
        return Progress(
            incident_id=incident_id,
            paged=incident.paged_at is not None,
            waits=bool(errors),
            sent=incident.delivered,
            error="; ".join(one_line(error, 400) for error in errors if error),
        )

    def _acknowledge(self, run: CanaryRun, progress: Progress, now: datetime) -> None:
        self.incidents.acknowledge(progress.incident_id, ACTOR, run.id)
        resolved = self.incidents.resolve(progress.incident_id, ACTOR, run.id)
        if resolved.incident.acknowledged_by != ACTOR:
            self._fail(run, progress, now)
        elif self._end(run, "passed", now):
            TOOK.set((now - run.began).total_seconds())
            self.problems.solved(LOOP)

    def _fail(self, run: CanaryRun, progress: Progress, now: datetime) -> None:
        broken = self._broken_link(progress)
        if progress.incident_id:
            self.incidents.resolve(progress.incident_id, ACTOR, run.id)
        if self._end(run, "failed", now, broken):
            self._told_at = None
            structlog.get_logger().error("canary.failed", run=run.id, broken=broken)
        self.problems.report(LOOP, "the way of a page", f"an alert of our own did not come through: {broken}")

    def _end(self, run: CanaryRun, outcome: Outcome, now: datetime, broken: str = "") -> bool:
        with self.db.write() as connection:
            ended = end_run(connection, run, outcome, now, broken)
        if ended:
            RUNS.labels(outcome).inc()
            HEALTHY.set(outcome == "passed")
        return ended

    def _broken_link(self, progress: Progress) -> str:
        """The first link that did not hold, and what is known of it."""
        if progress.sent:
            return "acknowledgement: the page was sent, and its incident could not be acknowledged"
        if progress.waits:
            way = self.config.channel or "the canary's own channel"
            return f"channel: {way} did not take the page" + (f" ({progress.error})" if progress.error else "")
        if progress.paged:
            return "outbox: the incident was paged, and no message was put into the outbox"
        if progress.incident_id:
            return f"timers: {progress.incident_id} was opened, and nobody was paged for it"
        if self._post_error:
            return f"webhook: the alert could not be posted ({self._post_error})"
        return "alerts: the webhook took the alert, and no incident was opened for it"

    def _may_tell(self, now: datetime) -> bool:
        return self._told_at is None or not timedelta(0) <= now - self._told_at < TELL_AGAIN

    def _tell(self, run: CanaryRun, now: datetime) -> None:
        """Tell whoever is on call, past everything that may be broken."""
        self._told_at = now
        text = (
            f"Pages may not get through: Watchkeeper's own test alert of {run.began:%Y-%m-%d %H:%M:%S} UTC was not "
            f"acknowledged within {self.config.within_s:.0f} s.\n"
            f"The link that did not hold: {run.broken}.\n"
            "Look at `watchkeeper doctor` and the logs of the roles `ingest` and `watch`. "
            "Until it passes again, do not rely on being paged."
        )
        try:
            who = self.tell(f"canary:{run.id}", text)
        except Exception as error:  # noqa: BLE001 - nobody was told: it is tried again, and stands among the problems
            self.problems.report(LOOP, "telling somebody", f"nobody could be told that it failed: {error}")
            return
        record_notified(self.db, run, who)
        self.problems.solved(LOOP, "telling somebody")


def own_alerts(db: Database, firing: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Of the alerts that fire, those that Watchkeeper raised for itself, as its own; and all others as they are."""
    claimed = [finding for finding in firing if finding.alert and finding.alert.name == NAME]
    if not claimed:
        return [], list(firing)
    running = [run for run in newest_runs(db) if run.ended is None]
    labels = {f"{LABEL}={run.id}": run for run in running}
    own: list[Finding] = []
    others: list[Finding] = []
    for finding in firing:
        texts = finding.alert.labels.split(",") if finding.alert and finding.alert.name == NAME else []
        run = next((labels[text] for text in texts if text in labels), None)
        if run:
            own.append(replace(finding, detector=CANARY, service=_service(run), severity="page"))
        elif not any(text.startswith(f"{LABEL}=") for text in texts):
            others.append(finding)  # what a past run left behind is nobody's trouble
    return own, others


def last_run(db: Database) -> CanaryRun | None:
    """The newest run that ended, or that goes on if none has."""
    runs = newest_runs(db, 2)
    return next((run for run in runs if run.ended), runs[0] if runs else None)


def _service(run: CanaryRun) -> str:
    """A service that nobody has: nothing else joins the canary's incident."""
    return f"watchkeeper-canary-{run.id}"


def _webhook(run: CanaryRun) -> Mapping[str, Any]:
    """The alert as Alertmanager would send it. It ends by itself, should nobody end it."""
    labels = {"alertname": NAME, "service": _service(run), "severity": "critical", LABEL: run.id}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "Watchkeeper's own alert, which proves that pages get through"},
        "startsAt": run.began.isoformat(),
        "endsAt": (run.began + timedelta(minutes=30)).isoformat(),
        "fingerprint": run.id,
    }
    return {"version": "4", "status": "firing", "alerts": [alert]}
