"""The canary: an alert of Watchkeeper's own goes the way of every page, and its failure names the link that broke."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, insert, select

from alerting.canary.canary import Canary, last_run
from alerting.canary.runs import newest_runs
from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.served import serving
from alerting.incidents.silences import add_silence, new_silence
from alerting.oncall.load import pages_between
from bench.own_roles import OwnRoles
from collectors.webhooks.alert_episodes import record_alerts
from collectors.webhooks.alertmanager import parse_webhook
from detectors.learning.judged import incidents_since
from tests.waiting import until
from watchkeeper.clock import FrozenClock
from watchkeeper.config import (
    CanaryConfig,
    Config,
    LayerConfig,
    OnCallConfig,
    PersonConfig,
    ScheduleConfig,
    SlackConfig,
    SlackStandInConfig,
    load,
)
from watchkeeper.errors import ConfigError
from watchkeeper.problems import Problems
from watchkeeper.roles import doctor, paging
from watchkeeper.roles.watch import Reader, Watch
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import canary_runs, labels, outbox, postmortems
from watchkeeper.state.schema import incidents as incidents_table
from watchkeeper.vocabulary import Actor, Window

ANA = Actor(name="Ana", via="cli")
BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
Post = Callable[[Mapping[str, Any]], None]


class Night:
    """A watch role and its jobs, by a clock that moves when asked to; the store is away."""

    def __init__(self, watch: Watch, clock: FrozenClock, db: Database) -> None:
        self.watch, self.clock, self.db = watch, clock, db
        self.config: Config = watch._config
        self.canary: Canary = watch._canary
        self.jobs: dict[str, Callable[[], None]] = {
            "alerts": watch.alerts,
            "timers": watch.timers,
            "page slack": lambda: watch.page("slack"),
            "canary": watch.canary,
        }

    def goes_on(self, seconds: float, *without: str) -> None:
        """The jobs turn, every two seconds."""
        for _ in range(int(seconds / 2)):
            self.clock.advance(2)
            for name, job in self.jobs.items():
                if name not in without:
                    job()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
    frozen = FrozenClock(BEGAN)
    monkeypatch.setattr("watchkeeper.roles.watch.SystemClock", lambda: frozen)
    return frozen


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """With a stand-in for Slack that serves."""
    port = socket.create_server(("127.0.0.1", 0))
    config = Config(
        data_dir=tmp_path,
        slack=SlackConfig(stand_in=SlackStandInConfig(port=port.getsockname()[1])),
        oncall=OnCallConfig(
            people=(PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}),),
            schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),)),),
        ),
    )
    with serving(StandIn(config, lambda: "http://127.0.0.1:1/slack/events").application(), port):
        yield config


@pytest.fixture
def night(config: Config, db: Database, clock: FrozenClock) -> Night:
    away = Reader(url="http://127.0.0.1:1", database="otel", user="u", password="p")
    night = Night(Watch(config, away, db, Problems(None)), clock, db)
    night.canary.post = _webhook(db, clock)
    return night


def _webhook(db: Database, clock: FrozenClock) -> Post:
    """What ingest does with a body; that it comes there is for the test with real roles."""

    def post(body: Mapping[str, Any]) -> None:
        notices = parse_webhook(json.loads(json.dumps(body)), clock.now()).notices
        record_alerts(db, notices, clock.now(), timedelta(days=1))

    return post


def board(config: Config) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{config.slack.stand_in.port}/standin/messages"
    return list(httpx.get(url, trust_env=False, timeout=20).json()["messages"])


def test_it_comes_through_every_hour_and_nobody_notices(night: Night) -> None:
    """Webhook, incident, timer, outbox, channel, acknowledgement; no message, no list, no load, no label."""
    night.clock.advance(270)
    night.goes_on(20)
    assert newest_runs(night.db) == ()
    night.goes_on(60)
    (run,) = newest_runs(night.db)
    assert (run.outcome, run.broken, run.ended is not None) == ("passed", "", True)
    with night.db.read() as connection:
        incident_id = connection.scalar(select(outbox.c.incident_id))
        assert connection.scalar(select(func.count()).select_from(labels)) == 0
        assert connection.scalar(select(func.count()).select_from(postmortems)) == 0
        assert incidents_since(connection, BEGAN, 10) == ()
    incident = night.watch.incidents.get(str(incident_id))
    kinds = [entry.kind for entry in incident.timeline]
    assert kinds == ["opened", "paged", "delivered", "acknowledged", "resolved", "cleared", "recovered"]
    assert {entry.via for entry in incident.timeline} == {"system"}
    assert board(night.config) == []
    assert night.watch.incidents.list() == ()
    assert pages_between(night.db, Window(start=BEGAN, end=BEGAN + timedelta(days=1))) == ()
    night.clock.advance(3600)
    night.goes_on(60)
    assert [one.outcome for one in newest_runs(night.db, 9)] == ["passed", "passed"]
    assert night.watch.incidents.list() == ()


@pytest.mark.parametrize(
    ("broken", "link"),
    [
        (("alerts",), "alerts: the webhook took the alert"),
        (("timers",), "timers: inc-"),
    ],
)
def test_a_failure_names_the_first_link_that_did_not_hold(night: Night, broken: tuple[str, ...], link: str) -> None:
    """Whoever is on call is told once, past the incident and the outbox; the next run that passes ends it."""
    night.clock.advance(290)
    night.goes_on(150, *broken)
    (run,) = newest_runs(night.db)
    assert run.broken.startswith(link)
    assert run.notified == "Ana by slack"
    (message,) = board(night.config)
    assert "<@UANA>" in json.dumps(message)
    assert link in json.dumps(message)
    assert [one.loop for one in night.watch._problems.current()] == ["canary"]
    night.clock.advance(3600)
    night.goes_on(60)
    assert newest_runs(night.db)[0].outcome == "passed"
    assert len(board(night.config)) == 1
    assert "canary" not in {one.loop for one in night.watch._problems.current()}
    assert night.watch.incidents.list() == ()


def test_a_webhook_that_is_away_is_named(night: Night) -> None:
    """With what it answered. It is tried again meanwhile: what comes back in time is no failure."""
    works = night.canary.post

    def away(_: Mapping[str, Any]) -> None:
        raise httpx.ConnectError("connection refused")

    night.canary.post = away
    night.clock.advance(290)
    night.goes_on(60)
    night.canary.post = works
    night.goes_on(50)
    assert newest_runs(night.db)[0].outcome == "passed"
    night.canary.post = away
    night.clock.advance(3600)
    night.goes_on(160)
    assert newest_runs(night.db)[0].broken == "webhook: the alert could not be posted (connection refused)"


def test_a_channel_that_does_not_take_it_is_named(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is paged in the canary's place."""

    def refuses(*_: object) -> None:
        raise RuntimeError("the channel is broken")

    monkeypatch.setattr(paging.CanaryChannel, "send", refuses)
    night.clock.advance(290)
    night.goes_on(150)
    (run,) = newest_runs(night.db)
    assert run.broken.startswith("channel: the canary's own channel did not take the page")
    assert "the channel is broken" in run.broken
    assert len(board(night.config)) == 1


def test_a_failure_that_nobody_can_be_told_of_is_told_when_it_can(night: Night) -> None:
    """Slack is away for a while: it is tried each minute, and stands among the problems."""
    tell = night.canary.tell

    def away(*_: str) -> str:
        raise OSError("no network")

    night.canary.tell = away
    night.clock.advance(290)
    night.goes_on(150, "alerts")
    assert newest_runs(night.db)[0].notified == ""
    subjects = {one.subject for one in night.watch._problems.current()}
    assert subjects == {"the way of a page", "telling somebody"}
    night.canary.tell = tell
    night.goes_on(70, "alerts")
    assert newest_runs(night.db)[0].notified == "Ana by slack"
    assert len(board(night.config)) == 1


def test_a_kill_after_any_step_is_continued(night: Night, db: Database, clock: FrozenClock) -> None:
    """A process that begins anew goes on where the database says; nothing is posted, paged or told twice."""
    clock.advance(290)
    while not (runs := newest_runs(db)) or runs[0].ended is None:
        night.goes_on(2)
        watch = Watch(night.config, night.watch._telemetry, db, Problems(None))
        watch._canary.began, watch._canary.post = BEGAN, _webhook(db, clock)
        night = Night(watch, clock, db)
        assert clock.now() < BEGAN + timedelta(seconds=400)
    assert runs[0].outcome == "passed"
    with db.read() as connection:
        bodies = connection.scalars(select(outbox.c.body)).all()
        assert sum('"kind":"page"' in body for body in bodies) == 1


def test_two_watch_roles_run_one_canary(night: Night, db: Database, clock: FrozenClock) -> None:
    """The row of a time is there once."""
    other = Watch(night.config, night.watch._telemetry, db, Problems(None))
    other._canary.began, other._canary.post = BEGAN, night.canary.post
    night.jobs["other canary"] = other.canary
    night.clock.advance(290)
    night.goes_on(60)
    assert [run.outcome for run in newest_runs(db, 9)] == ["passed"]


def test_no_silence_and_no_alert_of_others_changes_it(night: Night, db: Database, clock: FrozenClock) -> None:
    """A silence of everything suppresses other pages; an alert that takes its name is an alert like any other."""
    silence = new_silence(
        service="*", kind="", label="", reason="move", start=BEGAN, end=BEGAN + timedelta(days=1), owner=ANA
    )
    add_silence(db, silence, ANA, BEGAN)
    labels_ = {"alertname": "WatchkeeperCanary", "service": "cart"}
    night.canary.post({"version": "4", "alerts": [{"status": "firing", "labels": labels_}]})
    night.clock.advance(290)
    night.goes_on(60)
    assert newest_runs(db)[0].outcome == "passed"
    (incident,) = night.watch.incidents.list()
    assert (incident.service, incident.human_state) == ("cart", "silenced")


def test_its_page_goes_by_a_configured_channel_to_its_address_only(
    config: Config, db: Database, clock: FrozenClock
) -> None:
    """The channel's own way is proved too; it mentions nobody who is on call."""
    chosen = config.model_copy(update={"canary": CanaryConfig(channel="slack", address="UBOT")})
    away = Reader(url="http://127.0.0.1:1", database="otel", user="u", password="p")
    night = Night(Watch(chosen, away, db, Problems(None)), clock, db)
    night.canary.post = _webhook(db, clock)
    night.clock.advance(290)
    night.goes_on(60)
    assert newest_runs(db)[0].outcome == "passed"
    (message,) = board(config)
    assert "Watchkeeper's own alert" in json.dumps(message)
    assert "UANA" not in json.dumps(message)


def test_the_doctor_shows_the_last_run(config: Config) -> None:
    """Switched off, not run yet, failed, and how it was told."""
    off = config.model_copy(update={"canary": CanaryConfig(enabled=False)})
    assert doctor.canary(off)[0].status == "warning"
    assert "has not run yet" in doctor.canary(config)[0].seen
    db, now = Database.open(config), datetime.now(UTC)
    row = {"slot": 1, "id": "a", "began": to_micros(now), "ended": to_micros(now + timedelta(seconds=21))}
    with db.write() as connection:
        connection.execute(
            insert(canary_runs).values(**row, outcome="failed", broken="timers: x", notified="Ana by slack")
        )
    (result,) = doctor.canary(config)
    assert (result.status, "timers: x; told Ana by slack" in result.seen) == ("problem", True)
    run = last_run(db)
    assert run is not None
    assert run.sentence in result.seen
    db.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{channel: smoke, address: x}", "canary.channel: 'smoke' is not among `channels:`; there are: slack"),
        ("{channel: slack}", "canary.address: is needed with canary.channel"),
        ("{every_s: 60, within_s: 100}", "within_s must be less than every_s"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(given: str, why: str, tmp_path: Path) -> None:
    """With the key and what to do."""
    (tmp_path / "w.yaml").write_text(f"canary: {given}\n")
    with pytest.raises(ConfigError, match=why.replace("(", r"\(")):
        load(tmp_path / "w.yaml")


def test_real_roles_pass_it_on_and_survive_a_kill(tmp_path: Path) -> None:
    """Ingest's webhook over HTTP, and a watch role that is killed in the middle: it passes."""
    changes: dict[str, dict[str, Any]] = {"slack": {"stand_in": {"port": socket_port()}}}
    with OwnRoles(tmp_path, changes) as own:
        own.start("ingest")
        db = Database.open(own.config)
        now = datetime.now(UTC)
        row = {"slot": 1, "id": "0123456789abcdef", "began": to_micros(now), "ended": None}
        with db.write() as connection:
            connection.execute(insert(canary_runs).values(**row, outcome="running", broken="", notified=""))
        own.start("watch")
        until(lambda: _opened(db))
        own.kill("watch")
        own.start("watch")
        until(lambda: newest_runs(db)[0].ended is not None)
        assert newest_runs(db)[0].outcome == "passed"
        with db.read() as connection:
            bodies = connection.scalars(select(outbox.c.body)).all()
        assert sum('"kind":"page"' in body for body in bodies) == 1
        db.close()


def _opened(db: Database) -> bool:
    with db.read() as connection:
        return bool(connection.scalar(select(func.count()).select_from(incidents_table)))


def socket_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
