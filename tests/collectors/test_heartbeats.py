"""Heartbeats: a token lets a job show that it is alive, and one that is missed pages until it is heard again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from collectors.receivers.http import HttpPort
from collectors.source import SourceContext
from collectors.state_sinks import StateSinks
from collectors.webhooks.alertmanager import AlertmanagerWebhook
from tests.front_door import front_door
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, OnCallConfig
from watchkeeper.config_sections import HeartbeatConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.heartbeats import expect_heartbeats, missed_heartbeats, read_heartbeats, record_heartbeat
from watchkeeper.state.schema import heartbeats
from watchkeeper.vocabulary import Actor

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BACKUP = HeartbeatConfig(name="backup", every_s=3600, grace_s=60)
WATCHDOG = HeartbeatConfig(name="Watchdog", every_s=300, grace_s=0, service="prometheus")
TOKENS = {"beating": "heartbeats", "other": "ingest"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    tokens = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "scopes": [scope]}
        for name, scope in TOKENS.items()
    ]
    expected = [{"name": "backup", "every_s": 3600}, {"name": "Watchdog", "every_s": 300}]
    return Config.model_validate({"data_dir": str(tmp_path), "tokens": tokens, "heartbeats": expected})


def post(config: Config, path: str, token: str, body: Any = None) -> httpx.Response:
    """Post to the receivers' port, served in this process."""
    port = HttpPort(config)
    problems = Problems(None)
    context = SourceContext(
        name="alertmanager-webhook",
        config=config,
        settings={},
        intake=cast("Any", None),
        sinks=StateSinks(config),
        problems=problems,
        stop=threading.Event(),
        http=port.paths("alertmanager-webhook", problems),
        listening=lambda *_: None,
    )
    AlertmanagerWebhook(context)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=port)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4318") as client:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return await client.post(path, headers=headers, **({} if body is None else {"json": body}))

    return asyncio.run(send())


def heard(config: Config, name: str) -> bool:
    db = Database.open(config)
    with db.read() as connection:
        at = connection.scalar(select(heartbeats.c.heard_at).where(heartbeats.c.name == name))
    db.close()
    return at is not None and at > to_micros(NOW - timedelta(days=1000))


def test_a_token_of_the_scope_is_heard(config: Config) -> None:
    """With a body, or with none."""
    answer = post(config, "/api/v1/heartbeats/backup", "beating")
    assert (answer.status_code, answer.json()) == (200, {"heard": True})
    assert heard(config, "backup")
    assert not heard(config, "Watchdog")


@pytest.mark.parametrize("token", ["", "other", "unknown"])
def test_nobody_else_may_say_that_something_is_alive(config: Config, token: str) -> None:
    """The answer names the command that makes a token."""
    answer = post(config, "/api/v1/heartbeats/backup", token, {"ok": True})
    assert answer.status_code == 401
    assert "watchkeeper token new --scope heartbeats" in answer.json()["error"]
    assert not heard(config, "backup")


def test_a_name_that_is_not_configured_is_no_path(config: Config) -> None:
    """The answer lists those that are."""
    answer = post(config, "/api/v1/heartbeats/bakcup", "beating")
    assert answer.status_code == 404
    assert "/api/v1/heartbeats/backup" in answer.json()["error"]


@pytest.mark.parametrize(("status", "alive"), [("firing", True), ("resolved", False)])
def test_the_watchdog_alert_is_a_heartbeat_while_it_fires(config: Config, status: str, alive: bool) -> None:
    """It never pages by itself."""
    body = {"version": "4", "status": status, "alerts": [{"status": status, "labels": {"alertname": "Watchdog"}}]}
    answer = post(config, "/api/v1/alerts/alertmanager", "other", body)
    assert (answer.status_code, answer.json()["firing"]) == (200, 0)
    assert heard(config, "Watchdog") == alive


def test_a_missed_heartbeat_pages_and_the_next_one_clears_it(db: Database) -> None:
    """One incident for as long as it is missed, however often it is looked at."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    expected = (BACKUP, WATCHDOG)
    expect_heartbeats(db, expected, NOW)
    for _ in range(20):  # for an hour and a half; the watchdog is heard all the time
        now = clock.advance(270)
        record_heartbeat(db, "Watchdog", now)
        incidents.observe(missed_heartbeats(db, expected, now, NOW), now=now)
    (incident,) = incidents.list()
    assert (incident.severity, incident.service, incident.system_state) == ("page", "backup", "firing")
    assert incident.title == "no heartbeat of backup: none ever came; one is expected every 1 h"
    assert len([entry for entry in incident.timeline if entry.kind in ("opened", "joined")]) == 1
    incidents.acknowledge(incident.id, Actor(name="Ana", via="cli"), "a")
    record_heartbeat(db, "backup", clock.now())
    incidents.observe(missed_heartbeats(db, expected, clock.now(), NOW), now=clock.now())
    assert incidents.get(incident.id).system_state == "recovered"


def test_what_could_not_be_heard_while_we_were_away_is_not_missed(db: Database) -> None:
    """After an outage of ours everybody has their time again."""
    expect_heartbeats(db, (BACKUP,), NOW)
    record_heartbeat(db, "backup", NOW)
    later = NOW + timedelta(hours=5)
    assert len(missed_heartbeats(db, (BACKUP,), later, NOW)) == 1
    assert missed_heartbeats(db, (BACKUP,), later, later) == ()


def test_a_heartbeat_can_be_disabled(db: Database) -> None:
    """It leaves the configuration, and is expected no more; put back, it has its time."""
    expect_heartbeats(db, (BACKUP, WATCHDOG), NOW)
    expect_heartbeats(db, (WATCHDOG,), NOW)
    later = NOW + timedelta(hours=5)
    assert [one.service for one in missed_heartbeats(db, (WATCHDOG,), later, NOW)] == ["prometheus"]
    expect_heartbeats(db, (BACKUP, WATCHDOG), later)
    assert [one.since for one in read_heartbeats(db, (BACKUP, WATCHDOG), later)] == [later, NOW]
    assert len(missed_heartbeats(db, (BACKUP,), later, NOW)) == 0


def test_the_command_line_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, and for scripts."""
    config = tmp_path / "watchkeeper.yaml"
    config.write_text("data_dir: data\nheartbeats: [{name: backup, every_s: 60, grace_s: 0}]\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(config))
    run = front_door(monkeypatch, capsys)
    assert "backup     never" in run("heartbeat", "list")[1]
    (listed,) = json.loads(run("heartbeat", "list", "--json")[1])
    assert (listed["name"], listed["heard_at"], listed["missed"]) == ("backup", None, False)
    config.write_text("data_dir: data\nheartbeats: [{name: a, every_s: 60}, {name: a, every_s: 60}]\n")
    status, _, err = run("heartbeat", "list")
    assert status == 2
    assert "'a' is the name of item 0 already" in err
