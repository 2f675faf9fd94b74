"""Action items: reminded on their day and weekly after, once each, whatever dies meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from protocol import Recorder, delivery, finding, unsent
from sqlalchemy import event

from alerting.channels.channel import Notice, Thread
from alerting.incidents.commands import Incidents
from alerting.oncall.timers import run_due
from alerting.postmortems import reminders
from alerting.postmortems.actions import Actions
from tests.front_door import Run, front_door
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import OnCallConfig, PersonConfig, load
from watchkeeper.errors import ConfigError, DeliveryError, NotFound
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="cli")
WEB = "http://w"


class Board(Recorder):
    """A channel that shows notices, each key once."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: dict[str, Notice] = {}

    def show_notice(self, notice: Notice, thread: Thread | None, *, maybe_there: bool = False) -> Thread:
        del thread, maybe_there
        if self.broken == "refuses":
            raise DeliveryError("not today", retry=True)
        self.notices.setdefault(notice.key, notice)
        if self.broken == "answer lost":
            raise DeliveryError("timed out", retry=True)
        return Thread(conversation="C1", ts=notice.key)


@pytest.fixture
def oncall() -> OnCallConfig:
    """Ana lives in Berlin."""
    ana = PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}, timezone="Europe/Berlin")
    return OnCallConfig(people=(ana, PersonConfig(id="oncall", name="On call")))


@pytest.fixture
def actions(db: Database, clock: FrozenClock, oncall: OnCallConfig) -> Actions:
    return Actions(db, clock, oncall)


@pytest.fixture
def incident_id(incidents: Incidents, clock: FrozenClock) -> str:
    (opened,) = incidents.observe([finding(clock.now(), "payments")])
    incidents.resolve(opened, ANA, "r")
    return opened


def a_round(db: Database, incidents: Incidents, oncall: OnCallConfig, board: Board, now: datetime) -> None:
    """Timers, then messages."""
    run_due(db, now, {reminders.KIND: reminders.effect(oncall, ("slack",), WEB)})
    delivery(db, incidents, oncall, board).run(now)


def rounds(
    db: Database, incidents: Incidents, oncall: OnCallConfig, board: Board, clock: FrozenClock, days: int
) -> None:
    """So many days, a round an hour."""
    for _ in range(days * 24):
        clock.advance(3600)
        a_round(db, incidents, oncall, board, clock.now())


def test_the_owner_is_reminded_that_day_and_weekly_after(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """At nine in Berlin, with a mention, once each; the text says what, for how long, and how to finish."""
    added = actions.add(incident_id, ANA, "k", "Alert on  lock waits", "Ana", "2026-03-02").action
    assert (added.text, added.owner) == ("Alert on lock waits", "ana")
    assert reminders.next_reminder(date(2026, 3, 2), clock.now(), "Europe/Berlin") == datetime(
        2026, 3, 2, 8, tzinfo=UTC
    )
    board = Board()
    rounds(db, incidents, oncall, board, clock, 18)
    first, second, third = board.notices.values()
    assert [one.mentions for one in (first, second, third)] == [("UANA",)] * 3
    assert [one.title for one in (first, second)] == ["An action item is due", "An action item is overdue"]
    assert "Due: 2026-03-02, 14 days ago." in third.text
    assert f"{WEB}/incidents/{incident_id}" in first.text
    assert f"watchkeeper postmortem done {added.id}" in first.text
    assert unsent(db) == []


def test_nobody_is_reminded_of_what_is_done(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """Also not by a message that waited for its channel; reopened, it is overdue again."""
    action = actions.add(incident_id, ANA, "k", "x", "ana", "2026-03-02").action
    board = Board()
    board.broken = "refuses"
    rounds(db, incidents, oncall, board, clock, 2)
    assert len(unsent(db)) == 1
    clock.advance(60)
    assert actions.finish(action.id, ANA).changed
    assert not actions.finish(action.id, ANA).changed
    board.broken = ""
    rounds(db, incidents, oncall, board, clock, 10)
    assert board.notices == {}
    actions.reopen(action.id, ANA)
    rounds(db, incidents, oncall, board, clock, 7)
    assert len(board.notices) == 1
    assert [entry.action for entry in audit_trail(db)][:3] == ["action.reopen", "action.done", "action.add"]


def test_an_outage_of_weeks_is_one_reminder(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """Whoever comes back reads it once, and the next one a week after the last that was missed."""
    actions.add(incident_id, ANA, "k", "x", "ana", "2026-03-02")
    clock.advance(40 * 86_400)
    board = Board()
    rounds(db, incidents, oncall, board, clock, 2)
    assert len(board.notices) == 1
    rounds(db, incidents, oncall, board, clock, 7)
    assert len(board.notices) == 2


def test_a_new_date_moves_the_reminder(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """Also there and back; without a date there is none."""
    action = actions.add(incident_id, ANA, "k", "x", "ana", "2026-03-02").action
    board = Board()
    for due in ("2026-03-05", "2026-03-02", "2026-03-04"):
        actions.change(action.id, ANA, {"due": due})
    rounds(db, incidents, oncall, board, clock, 3)
    assert board.notices == {}
    rounds(db, incidents, oncall, board, clock, 1)
    assert len(board.notices) == 1
    actions.change(action.id, ANA, {"due": ""})
    rounds(db, incidents, oncall, board, clock, 8)
    assert len(board.notices) == 1


def test_an_owner_without_an_address_is_reminded_where_all_read_it(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """By name, without a mention."""
    actions.add(incident_id, ANA, "k", "x", "the platform team", "2026-03-02")
    board = Board()
    rounds(db, incidents, oncall, board, clock, 2)
    (notice,) = board.notices.values()
    assert notice.mentions == ()
    assert "Owner: the platform team." in notice.text


class Killed(BaseException):
    """What no code of ours catches: the process is gone."""


def test_a_kill_at_any_statement_neither_loses_nor_doubles_a_reminder(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, actions: Actions, incident_id: str
) -> None:
    """Of the timer, the outbox, or the record of the send; each time the next worker goes on."""
    board, killed, number = Board(), True, 0
    while killed:
        number += 1
        board.notices.clear()
        action = actions.add(incident_id, ANA, f"k{number}", "x", "ana", f"{clock.now().date() + timedelta(days=1)}")
        clock.advance(86_400 + 12 * 3600)
        killed = _killed_round(db, number, lambda: a_round(db, incidents, oncall, board, clock.now()))
        for _ in range(3):
            clock.advance(25)  # longer than a lease
            a_round(db, incidents, oncall, board, clock.now())
        assert [one.mentions for one in board.notices.values()] == [("UANA",)], number
        actions.finish(action.action.id, ANA)
        assert unsent(db) == []
    assert number > 8


def _killed_round(db: Database, statement: int, work: Any) -> bool:
    """Run until the numbered statement, which is never sent; whether there was one."""
    left = [statement]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        work()
    except Killed:
        return True
    finally:
        event.remove(db.engine, "before_cursor_execute", count)
    return False


def test_overdue_is_by_the_owners_day(
    db: Database, clock: FrozenClock, actions: Actions, incident_id: str, oncall: OnCallConfig
) -> None:
    """At eleven in the evening of UTC, the next day has begun in Berlin."""
    actions.add(incident_id, ANA, "1", "of Ana", "ana", "2026-03-01")
    actions.add(incident_id, ANA, "2", "of nobody", "", "2026-03-01")
    actions.add(incident_id, ANA, "3", "without a date", "ana")
    clock.advance(20 * 3600 + 1800)
    assert [one.text for one in actions.list(overdue=True)] == ["of Ana"]
    assert [one.text for one in actions.list(owner="Ana")] == ["of Ana", "without a date"]
    clock.advance(86_400)
    assert {one.text for one in actions.list(overdue=True)} == {"of nobody", "of Ana"}
    assert not actions.add(incident_id, ANA, "1", "again").changed


@pytest.mark.parametrize(
    ("text", "due", "message"),
    [
        (" ", "", "text: the action item is empty"),
        ("x", "tomorrow", "due: 'tomorrow' must be a date"),
        ("x", "0001-01-01", "due: 0001-01-01 must be a date between"),
        ("x" * 3000, "", "text: has 3000 characters"),
    ],
)
def test_a_wrong_action_item_is_one_sentence(
    actions: Actions, incident_id: str, text: str, due: str, message: str
) -> None:
    """It names what is wrong, and what to write."""
    with pytest.raises(ConfigError, match=message):
        actions.add(incident_id, ANA, "k", text, "", due)
    with pytest.raises(NotFound, match="no incident inc-nope"):
        actions.add("inc-nope", ANA, "k", "x")


def test_action_items_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Added, listed, done, reopened."""
    path = tmp_path / "watchkeeper.yaml"
    people = "  people: [{id: ana, name: Ana, addresses: {slack: UANA}}]\n"
    rest = "  schedules: []\n  escalation: [{after_s: 0, notify: ana}]\n"
    path.write_text(f"data_dir: data\noncall:\n{people}{rest}")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    config = load(path)
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    (opened,) = incidents.observe([finding(SystemClock().now(), "payments")])
    db.close()
    added = run("postmortem", "add-action", opened, "Alert on locks", "--owner", "Ana", "--due", "2026-03-02", "--json")
    action = json.loads(added[1])["action"]
    assert action["owner"] == "ana"
    listed = run("postmortem", "actions", "--overdue", "--owner", "ana")[1]
    assert f"{action['id']}  [ ] 2026-03-02" in listed
    assert run("postmortem", "done", action["id"])[0] == 0
    assert run("postmortem", "done", action["id"])[0] == 4
    assert run("postmortem", "actions", "--overdue")[1] == "no action item is overdue\n"
    assert run("postmortem", "reopen", action["id"])[0] == 0
    assert run("postmortem", "change-action", action["id"], "--due", "soon")[0] == 2
    assert run("postmortem", "done", "act-none")[0] == 3
