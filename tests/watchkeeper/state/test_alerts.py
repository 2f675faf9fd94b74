"""Alerts from outside: what fires, what ends one, and what a bad row may not do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.webhooks.alert_episodes import Recorded, record_alerts
from watchkeeper.errors import NotFound
from watchkeeper.state.alerts import all_alerts, end_alert, read_alerts
from watchkeeper.state.codec import dump
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import alerts
from watchkeeper.vocabulary import AlertNotice, Finding

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def notice(
    name: str = "DiskFull",
    *,
    heard: datetime = NOW,
    started: datetime | None = NOW,
    ends: datetime | None = None,
    resolved: bool = False,
) -> AlertNotice:
    finding = Finding(
        detector="alertmanager",
        detector_version="4",
        kind="alert",
        service="db",
        summary=name,
        onset=min(started or heard, heard),
        seen_at=heard,
        score=1.0,
        signal=name,
    )
    return AlertNotice(finding=finding, resolved=resolved, started=started, ends_at=ends)


def record(db: Database, at: datetime, *notices: AlertNotice) -> Recorded:
    return record_alerts(db, notices, at, DAY)


def firing(db: Database, at: datetime) -> list[str]:
    return sorted(finding.summary for finding in read_alerts(db, at)[0])


def test_an_alert_fires_until_its_sender_resolves_it(db: Database) -> None:
    """A repeat keeps the first onset, whatever the sender knows of it."""
    first = notice(started=None)
    record(db, NOW, first)
    record(db, minutes(1), notice(started=None, heard=minutes(1)))
    assert read_alerts(db, minutes(2))[0] == (first.finding,)
    assert record(db, minutes(3), notice(resolved=True)).resolved == 1
    assert firing(db, minutes(3)) == []


def test_a_firing_notification_that_comes_after_its_resolve_does_not_fire(db: Database) -> None:
    """Deliveries overtake each other; a new start time is a new episode and fires."""
    record(db, NOW, notice())
    record(db, minutes(5), notice(resolved=True))
    assert record(db, minutes(6), notice(heard=minutes(6))).late == 1
    assert firing(db, minutes(6)) == []
    record(db, minutes(7), notice(started=minutes(7), heard=minutes(7)))
    assert firing(db, minutes(7)) == ["DiskFull"]


def test_a_resolve_that_comes_first_is_remembered(db: Database) -> None:
    """Of an alert that was never heard of before, too."""
    record(db, NOW, notice(resolved=True))
    assert record(db, minutes(1), notice()).late == 1
    assert firing(db, minutes(1)) == []


def test_a_late_resolve_of_an_earlier_episode_ends_nothing(db: Database) -> None:
    """Nor does it where both come in one body, in either order."""
    record(db, NOW, notice())
    record(db, minutes(9), notice(started=minutes(8)))
    assert record(db, minutes(9), notice(resolved=True)).late == 1
    record(db, minutes(9), notice("Other", started=minutes(8)), notice("Other", resolved=True))
    record(db, minutes(9), notice("Third", resolved=True), notice("Third", started=minutes(8)))
    assert firing(db, minutes(9)) == ["DiskFull", "Other", "Third"]


def test_the_same_start_time_fires_again_once_the_resolve_is_old(db: Database) -> None:
    """Some senders never change it: after an hour it is no late delivery but news."""
    record(db, NOW, notice())
    record(db, minutes(1), notice(resolved=True))
    record(db, minutes(62), notice())
    assert firing(db, minutes(62)) == ["DiskFull"]


def test_an_alert_ends_where_its_sender_said_unless_it_is_repeated(db: Database) -> None:
    """An end time in the future is a promise to repeat; one that has passed is a clock that differs."""
    record(db, NOW, notice(ends=minutes(5)), notice("Skewed", ends=minutes(-5)))
    assert firing(db, minutes(5)) == ["DiskFull", "Skewed"]
    assert firing(db, minutes(7)) == ["Skewed"]
    record(db, minutes(8), notice(ends=minutes(13)))
    assert firing(db, minutes(9)) == ["DiskFull", "Skewed"]


def test_an_alert_that_is_never_repeated_ends(db: Database) -> None:
    """After the bound, and the clock's step back brings it back: reading forgets nothing."""
    record(db, NOW, notice())
    assert firing(db, NOW + DAY) == ["DiskFull"]
    assert firing(db, NOW + DAY + timedelta(minutes=2)) == []
    assert firing(db, NOW) == ["DiskFull"]
    (kept,) = all_alerts(db, 10)
    for at in (kept.until - timedelta(microseconds=1), kept.until):  # it ends at that very instant, however it is read
        fires = at < kept.until
        assert (firing(db, at), len(all_alerts(db, 10, at))) == (["DiskFull"] * fires, int(fires))


def test_a_human_ends_an_alert_until_its_sender_repeats_it(db: Database) -> None:
    """The command by its key; an unknown key is told."""
    record(db, NOW, notice())
    key = notice().finding.key
    assert (end_alert(db, key, minutes(1), "ana"), end_alert(db, key, minutes(2), "ben")) == (True, False)
    assert firing(db, minutes(2)) == []
    (state,) = all_alerts(db, 10)
    assert (state.ended_at, state.ended_by) == (minutes(1), "ana")
    record(db, minutes(240), notice())
    assert firing(db, minutes(240)) == ["DiskFull"]
    with pytest.raises(NotFound, match="alerts list"):
        end_alert(db, "nosuch\x00key" * 100, NOW, "ana")


def stored(db: Database, key: str, body: str) -> None:
    """A row as an older version may have left it."""
    until = to_micros(NOW + DAY)
    row = {"key": key, "at": to_micros(NOW), "started": 0, "heard_at": to_micros(NOW), "until": until}
    with db.write() as connection:
        upsert(connection, alerts, row | {"ended_at": None, "ended_by": None, "body": body})


def older(**changes: Any) -> str:
    return json.dumps(json.loads(dump(notice("Old").finding)) | changes)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        older(summary="\n"),
        older(onset="0001-01-01T00:00:00"),
        older(onset="0001-01-01T00:00:00+05:00"),
        older(onset="yesterday"),
        older(score="NaN"),
        older(kind="party"),
    ],
)
def test_a_row_that_cannot_be_read_stops_nobody(db: Database, body: str) -> None:
    """The others fire; the row is named with its reason, and the next notification repairs it."""
    record(db, NOW, notice())
    key = notice("Bad").finding.key
    stored(db, key, body)
    fire, unreadable = read_alerts(db, NOW)
    assert [finding.summary for finding in fire] == ["DiskFull"]
    assert list(unreadable) == [key]
    assert {state.key: state.finding is None for state in all_alerts(db, 10)}[key]
    record(db, minutes(1), notice("Bad"))
    assert firing(db, minutes(1)) == ["Bad", "DiskFull"]


@pytest.mark.parametrize("onset", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_stored_onset_is_one_that_a_diagnosis_can_look_back_to(db: Database, onset: str) -> None:
    """Within a week before the alert was heard of, whatever an older version kept."""
    stored(db, "old", older(onset=onset))
    (finding,) = read_alerts(db, NOW)[0]
    assert NOW - timedelta(days=7) <= finding.onset <= NOW


def test_a_storm_is_kept_and_read_whole(db: Database) -> None:
    """More rows than a statement takes values; the same again changes nothing."""
    storm = [notice(f"A{number}") for number in range(33_000)]
    assert record(db, NOW, *storm).firing == 33_000
    assert len(read_alerts(db, NOW)[0]) == 33_000
    assert record(db, minutes(1), *[notice(f"A{number}", resolved=True) for number in range(33_000)]).resolved == 33_000
    assert read_alerts(db, minutes(1))[0] == ()


def test_what_ended_long_ago_is_forgotten(db: Database) -> None:
    """The table does not grow for ever."""
    record(db, NOW, notice("Resolved", resolved=True), notice("Silent"))
    record(db, NOW + timedelta(days=9), notice("New", started=NOW + timedelta(days=9)))
    assert [state.finding.summary for state in all_alerts(db, 10) if state.finding] == ["New"]
