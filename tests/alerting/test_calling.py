"""Somebody pages somebody, once for a key: whatever dies meanwhile, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from protocol import Recorder, turn
from sqlalchemy import event

from alerting.incidents.commands import Incidents
from alerting.incidents.silences import add_silence, list_silences, new_silence
from alerting.oncall.schedule import Override, record_override, remove_override, stored_overrides
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, NotFound
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="slack")


class Killed(BaseException):
    """A kill between two statements."""


def killed_at(db: Database, statement: int, incidents: Incidents, key: str) -> bool:
    """Page until the numbered statement, which is never sent; whether there was one."""
    left = [statement]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        incidents.call("ben", "look", ANA, key)
    except Killed:
        return True
    finally:
        event.remove(db.engine, "before_cursor_execute", count)
    return False


def test_a_kill_at_any_statement_pages_once(db: Database, incidents: Incidents) -> None:
    """All of it is there or nothing; the repeat makes it whole."""
    number, killed = 0, True
    while killed:
        number += 1
        key = f"k{number}"
        killed = killed_at(db, number, incidents, key)
        first = incidents.call("ben", "look", ANA, key)
        assert first.changed is killed
        assert (first.incident.paged_person, first.incident.human_state) == ("ben", "paged")
        assert len(incidents.list()) == number
    assert number > 8


def test_two_at_once_are_one_page(db: Database, incidents: Incidents) -> None:
    """Slack may send again while the first is under way."""
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: incidents.call("ben", "look", ANA, "same"), range(8)))
    assert sum(outcome.changed for outcome in outcomes) == 1
    assert len({outcome.incident.id for outcome in outcomes}) == 1
    assert len(incidents.list()) == 1


def test_it_reaches_whom_it_names_and_escalates(
    db: Database, incidents: Incidents, clock: FrozenClock, oncall: OnCallConfig
) -> None:
    """One message; it fires until it is resolved, and its row with it."""
    incident = incidents.call("ben", "look", ANA, "k").incident
    recorder = Recorder()
    turn(db, incidents, oncall, recorder, clock.now())
    assert [page.mention for page in recorder.pages(incident.id)] == ["UBEN"]
    assert [one.key for one in read_alerts(db, clock.now())[0]] == [incident.findings[0].key]
    incidents.resolve(incident.id, ANA, "r")
    assert read_alerts(db, clock.now())[0] == ()
    # A late repeat does not open it again.
    assert not incidents.call("ben", "look", ANA, "k").changed
    assert not incidents.get(incident.id).is_open


def test_a_mistake_opens_nothing(incidents: Incidents) -> None:
    """Each says what is wrong."""
    with pytest.raises(NotFound, match="no person 'zoe'"):
        incidents.call("zoe", "look", ANA, "k")
    for text in ("", "  ", "x" * 1001):
        with pytest.raises(ConfigError, match="text: "):
            incidents.call("ben", text, ANA, "k")
    assert incidents.list() == ()


def test_silences_and_overrides_with_a_key_are_made_once(
    db: Database, clock: FrozenClock, oncall: OnCallConfig
) -> None:
    """The audit log has a line for each; what was taken back stays so until its key is new."""
    now = clock.now()
    for _ in range(2):
        silence = new_silence(
            service="a", kind="", label="", reason="r", start=now, end=now + timedelta(hours=1), owner=ANA, key="s"
        )
        add_silence(db, silence, ANA, now)
        made = Override(schedule="primary", person="ben", start=now, end=now + timedelta(hours=2), key="00ff")
        record_override(db, oncall, made, now, ANA)
        now = clock.advance(1)
    assert len(list_silences(db, now)) == 1
    (override,) = stored_overrides(db)
    assert sorted(one.action for one in audit_trail(db)) == ["override.add", "silence.add"]
    # One that was taken back after it began keeps its row, and a late repeat does not put it back.
    remove_override(db, override.id, now, ANA)
    again = Override(schedule="primary", person="ben", start=now, end=now + timedelta(hours=2), key="00ff")
    assert record_override(db, oncall, again, clock.advance(1), ANA) == ("00ff", False)
