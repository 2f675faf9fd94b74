"""Names and texts from outside that one of the databases, or UTF-8, cannot hold: kept, found again, and told apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import BigInteger as PlainBigInteger
from sqlalchemy import String as PlainString
from sqlalchemy import Text as PlainText

from alerting.incidents.findings import record_findings
from collectors.webhooks.alert_episodes import record_alerts
from detectors.recorded_readiness import read_readiness, record_readiness
from tests.kept_findings import findings_between
from watchkeeper.names import LONGEST_NAME, bounded, shortened, storable
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.audit import audit_trail, record_audit
from watchkeeper.state.changes import changes_between, record_change
from watchkeeper.state.database import Database
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import metadata, outbox, timers
from watchkeeper.vocabulary import Actor, AlertDetails, AlertNotice, ChangeEvent, Finding, Readiness, Window

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
HOUR = Window(start=NOW - timedelta(minutes=30), end=NOW + timedelta(minutes=30))
HOSTILE = [
    "x" * 256,
    "x" * 300,
    "x" * 100_000,
    "nul\x00in it",
    "\x00",
    "half \ud800 a pair",
    "\udfff",
    "🙂" * 300,
    "e\u0301" * 200,
    "\u202eright to left",
    "' OR 1=1; --",
    "tab\tand\nline",
]


def finding(text: str) -> Finding:
    return Finding(
        detector="test",
        detector_version="1",
        kind="alert",
        service=text,
        summary=text,
        onset=NOW,
        seen_at=NOW,
        score=1.0,
        signal=text,
        alert=AlertDetails(name=text, labels=text),
    )


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_any_text_is_kept_everywhere_it_comes_in(db: Database, text: str) -> None:
    """Findings, alerts, changes, readiness and the audit trail take it and give it back as UTF-8 can hold it."""
    given = finding(text)
    record_findings(db, [given])
    assert [found.summary for found in findings_between(db, HOUR)] == [storable(given.summary)]
    record_alerts(db, [AlertNotice(finding=finding(text), resolved=False)], NOW, timedelta(days=1))
    assert [alert.service for alert in read_alerts(db, NOW)[0]] == [storable(given.service)]
    change = ChangeEvent(
        id=text, at=NOW, kind="deploy", service=text, title=text, files=(text,), attributes={text: text}
    )
    assert (record_change(db, change), record_change(db, change)) == (True, False)
    assert [kept.title for kept in changes_between(db, HOUR)] == [storable(change.title)]
    known = Readiness(service=text, stage="ready", reason=text)
    record_readiness(db, {text: known})
    assert [kept.reason for kept in read_readiness(db).values()] == [storable(known.reason)]
    with db.write() as connection:
        record_audit(connection, NOW, actor := Actor(name=text, via="api"), "x" * 100, text, text)
    (entry,) = audit_trail(db)
    assert (entry.actor.name, entry.subject) == (bounded(actor.name, 200), bounded(text))
    assert entry.detail == storable(text)


def test_a_detail_of_a_megabyte_is_kept(db: Database) -> None:
    """Bodies have no limit of their own."""
    record_findings(db, [replace(finding("cart"), alert=AlertDetails(name="Disk", labels="y" * 1_000_000))])
    (kept,) = findings_between(db, HOUR)
    assert kept.alert is not None
    assert len(kept.alert.labels) == 1_000_000


def test_long_names_that_begin_alike_stay_apart(db: Database) -> None:
    """What is cut ends with a hash of the whole; the same name is the same row."""
    for name in ("x" * 300 + "a", "x" * 300 + "b", "x" * 300 + "a"):
        record_change(db, ChangeEvent(id=name, at=NOW, kind="deploy", service="cart", title=name[-1]))
    assert sorted(change.title for change in changes_between(db, HOUR)) == ["a", "b"]


@pytest.mark.parametrize("number", [2**63, 10**30, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_kept_as_the_nearest(db: Database, number: int) -> None:
    """Neither database takes a larger one."""
    row = {"id": "t", "incident_id": "i" * 50, "kind": "page", "step": 0, "due_at": number, "done_at": None}
    with db.write() as connection:
        upsert(connection, timers, row)
        assert abs(connection.execute(timers.select()).one().due_at) >= 2**63 - 1
        key = {"key": "k" * 500, "incident_id": "i", "body": "\x00", "created_at": 0, "due_at": 0}
        connection.execute(outbox.insert().values(**key))


def test_no_column_takes_text_or_numbers_as_they_come() -> None:
    """A new table's columns are of our own types, too (but for numbers that the database counts itself)."""
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    written = [column for column in columns if not column.autoincrement or column.autoincrement == "auto"]
    assert len(written) > len(columns) / 2
    assert [column for column in written if isinstance(column.type, PlainString | PlainText | PlainBigInteger)] == []


def test_a_short_name_is_left_alone() -> None:
    """And prose that is cut shows it."""
    assert (bounded("cart"), bounded("x" * LONGEST_NAME)) == ("cart", "x" * LONGEST_NAME)
    assert len(bounded("x" * 300, 8)) == 8
    assert (shortened("abcdef", 4), shortened("abcd", 4)) == ("abc…", "abcd")
