"""Approve, refuse, postpone and stop a scheduled experiment from Slack: signed presses against the real handler."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from chaos.schedules.announcing import Announcer
from chaos.schedules.rows import DueRuns
from chaos.schedules.schedule import schedules
from tests.alerting.channels.slack.running_site import PEOPLE, Site, form, pressed
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, SlackConfig, SlackStandInConfig, WebConfig
from watchkeeper.problems import Problems
from watchkeeper.roles.experimenting import announcer
from watchkeeper.roles.web import build
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Site, Callable[[], None]]]:
    """A stand-in and a web role with one schedule, of which people were asked; and a round of the watch role."""
    content = {"title": "Payments <!channel> is slow", "description": "d", "rollbacks": []}
    action = {"type": "action", "name": "mark", "provider": {"type": "process", "path": "true"}}
    (tmp_path / "slow.json").write_text(json.dumps(content | {"method": [action]}))
    slack_port, web_port = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    entry = {"id": "slow", "file": str(tmp_path / "slow.json"), "cron": "0 0 1 1 *"}
    approval = {"by": ["oncall"], "stands_hours": 4}
    config = Config(
        data_dir=tmp_path,
        oncall=OnCallConfig(people=PEOPLE),
        web=WebConfig(port=web_port.getsockname()[1]),
        slack=SlackConfig(stand_in=SlackStandInConfig(port=slack_port.getsockname()[1])),
        chaos={"experiments": [entry | {"approval": approval}]},  # type: ignore[arg-type]
    )
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(json.dumps({"data_dir": str(tmp_path)}))
    db = Database.open(config)
    stand_in = StandIn(config, lambda: f"{config.web_url}/slack/events")
    web = build(config, Telemetry.connect(config), db, config_path=path)
    due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    DueRuns(db).add("slow", due_at, "waiting", SystemClock().now())
    problems = Problems(None)
    asks = announcer(config, path, db, problems)

    def turn() -> None:
        ((schedule,), _) = schedules(config)
        rule = schedule.rule.approval
        assert rule is not None
        for run in DueRuns(db).open():
            if run.state == "waiting":
                asks.ask(run, schedule, rule, SystemClock().now())
        asks.show(SystemClock().now())
        assert problems.current() == ()

    with (
        serving(stand_in.application(), slack_port),
        serving(web, web_port),
        httpx.Client(base_url=f"http://127.0.0.1:{config.slack.stand_in.port}", timeout=120, trust_env=False) as slack,
        httpx.Client(base_url=config.web_url, timeout=120, trust_env=False) as to_web,
    ):
        incidents = Incidents(db, SystemClock(), config.oncall)
        turn()
        yield Site(config=config, db=db, incidents=incidents, stand_in=stand_in, slack=slack, web=to_web), turn
    db.close()


def states(site: Site) -> list[tuple[str, str]]:
    return [(run.state, run.detail) for run in reversed(DueRuns(site.db).history())]


def buttons(message: dict[str, Any]) -> list[str]:
    return [e["text"]["text"] for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]


def test_the_request_says_what_on_what_when_and_how_to_stop(asked: tuple[Site, Callable[[], None]]) -> None:
    """One message with the three buttons; times in the reader's zone; whoever may approve is mentioned, nobody else."""
    site, turn = asked
    message = site.message()
    text = json.dumps(message["blocks"])
    assert buttons(message) == ["Approve", "Refuse", "Postpone"]
    for words in ("Blast radius", "Lasts", "<!date^", "chaos stop", "Waits for approval: 0 of 1", "&lt;!channel&gt;"):
        assert words in text
    assert "<@UANA>" in text
    assert "<@UBEN>" not in text
    turn()
    assert len(site.board()["messages"]) == 1


def test_a_press_approves_and_the_message_shows_it(asked: tuple[Site, Callable[[], None]]) -> None:
    """The presser reads how many; somebody without the right and a second press are refused, to them alone."""
    site, turn = asked
    site.press("experiment_approve", user="UBEN")
    assert "may not decide about slow" in site.whisper("UBEN", "Ben")
    site.press("experiment_approve")
    assert site.whisper("UANA", "Approved: 1 of 1 approvals")
    site.press("experiment_approve")
    assert site.whisper("UANA", "You approved it already")
    turn()
    assert "Approved, 1 of 1 (Ana): begins at its time" in json.dumps(site.message()["blocks"])
    assert [(one.action, one.actor.name, one.actor.via) for one in audit_trail(site.db)] == [
        ("experiment.approve", "Ana", "slack")
    ]


def test_a_refusal_ends_the_request(asked: tuple[Site, Callable[[], None]]) -> None:
    """The buttons go away; a press on a message from before reads what happened."""
    site, turn = asked
    before = site.message()
    value = next(e["value"] for b in before["blocks"] if b["type"] == "actions" for e in b["elements"])
    site.press("experiment_refuse")
    assert site.whisper("UANA", "Refused: it does not run this time")
    turn()
    assert buttons(site.message()) == []
    assert "Refused: Ana refused" in json.dumps(site.message()["blocks"])
    site.signed(form(pressed(value, "experiment_approve")))
    assert "UTC is refused: Ana refused" in site.whisper("UANA", "Slow of")
    assert states(site) == [("refused", "Ana refused")]


def test_a_form_asks_for_the_later_time(asked: tuple[Site, Callable[[], None]]) -> None:
    """What cannot be is an error in the form; then the old message says so and a new one asks."""
    site, turn = asked
    view = site.press("experiment_postpone").json()["view"]
    assert view["blocks"][0]["element"]["initial_date_time"] > datetime.now(UTC).timestamp() + 3600
    wrong = site.submit(view, {"at": "1000000000"}).json()
    assert wrong["errors"] == {"at": "choose a time within the next 31 days"}
    later = int(datetime.now(UTC).timestamp()) // 60 * 60 + 10_800
    assert "errors" not in site.submit(view, {"at": str(later)}).json()
    turn()
    old, new = sorted(site.board()["messages"], key=lambda message: message["ts"])
    assert (buttons(old), buttons(new)) == ([], ["Approve", "Refuse", "Postpone"])
    assert "Ana postponed it to" in json.dumps(old["blocks"])
    assert [state for state, _ in states(site)] == ["postponed", "waiting"]


def test_a_running_experiment_has_a_button_that_stops_it(
    asked: tuple[Site, Callable[[], None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The press gives the command on this machine, is audited, and tells where it cannot."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what else runs on this machine is not stopped
    site, turn = asked
    runs = DueRuns(site.db)
    (waiting,) = runs.open()
    now = SystemClock().now()
    claim = runs.claim(waiting, now, ("oncall",))
    (claimed,) = runs.open()
    assert claimed.claim == claim
    runs.began(claimed, "run", "elsewhere", now)
    turn()
    assert buttons(site.message()) == ["Stop"]
    site.press("experiment_stop")
    assert site.whisper("UANA", "It runs on elsewhere: end it there")
    (running,) = runs.open()
    runs.settle(running, "done", now, "completed")
    site.press("experiment_stop")
    assert "is done: completed" in site.whisper("UANA", "Slow of")
    turn()
    assert "Ended: completed, approved by Ana" in json.dumps(site.message()["blocks"])


def test_a_stop_here_gives_the_command(
    asked: tuple[Site, Callable[[], None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `watchkeeper chaos stop` prints it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    site, turn = asked
    runs = DueRuns(site.db)
    (waiting,) = runs.open()
    runs.claim(waiting, SystemClock().now())
    (claimed,) = runs.open()
    runs.began(claimed, "run", socket.gethostname(), SystemClock().now())
    turn()
    site.press("experiment_stop")
    assert site.whisper("UANA", "No experiment runs here")
    assert ("experiment.stop", "slow") in [(one.action, one.subject) for one in audit_trail(site.db)]


def test_a_new_process_finds_the_message(asked: tuple[Site, Callable[[], None]], tmp_path: Path) -> None:
    """Killed between the post and its record: the channel is asked for the message, and no second one appears."""
    site, _ = asked
    runs = DueRuns(site.db)
    (waiting,) = runs.open()
    runs.shows(waiting, "about to be posted")
    again: Announcer = announcer(site.config, tmp_path / "watchkeeper.yaml", site.db, Problems(None))
    again.show(SystemClock().now())
    assert len(site.board()["messages"]) == 1
    assert runs.open()[0].ts == site.message()["ts"]
