"""A storm of findings: placed in short transactions, joined to the first of them, and ended with its incident."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, update
from structlog.testing import capture_logs

from alerting.incidents import journal, observation
from alerting.incidents.commands import Incidents
from alerting.incidents.grouping import place
from alerting.incidents.machine import Event, Incident
from alerting.incidents.observation import MOST_ENDED, MOST_FINDINGS, MOST_TOGETHER
from collectors.webhooks.alert_episodes import record_alerts
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.problems import Problems
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database
from watchkeeper.state.schema import incidents as incident_rows
from watchkeeper.state.schema import outbox, timers
from watchkeeper.vocabulary import Actor, AlertDetails, AlertNotice, Finding

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@contextmanager
def counted(db: Database) -> Iterator[list[str]]:
    """The statements that are executed meanwhile; many rows of one are one statement."""
    statements: list[str] = []

    def count(*given: object) -> None:
        statements.append(str(given[2]))

    event.listen(db.engine, "before_cursor_execute", count)
    yield statements
    event.remove(db.engine, "before_cursor_execute", count)


def finding(number: int, service: str) -> Finding:
    return Finding(
        detector="alertmanager",
        detector_version="4",
        kind="alert",
        service=service,
        summary=f"alert {number}",
        onset=NOW,
        seen_at=NOW,
        score=1.0,
        signal=str(number),
    )


def test_a_storm_is_placed_in_short_transactions(db: Database) -> None:
    """Whoever else writes gets a turn in between. All are paged, in few transactions."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    storm = [finding(number, f"service-{number}") for number in range(2 * MOST_TOGETHER + 1)]
    commits: list[object] = []
    event.listen(db.engine, "commit", commits.append)
    opened: list[str] = []
    for _ in range(100):  # a slow machine needs more than one round
        opened += incidents.observe(storm, now=NOW)
        if len(opened) == len(storm):
            break
    assert len(opened) == len(set(opened)) == len(storm)
    assert len(commits) >= 3
    commits.clear()
    incidents.page_all(opened)
    assert len(commits) == 3  # together, not one by one
    assert {one.human_state for one in incidents.list(None, 2000)} == {"paged"}


def test_a_storm_clears_in_short_transactions(db: Database) -> None:
    """As it was opened."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    storm = [finding(number, f"service-{number}") for number in range(2 * MOST_ENDED + 1)]
    while len(incidents.list(None, 2000)) < len(storm):
        incidents.observe(storm, now=NOW)
    commits: list[object] = []
    event.listen(db.engine, "commit", commits.append)
    for _ in range(100):
        incidents.observe([], now=NOW)
        if all(one.system_state == "recovered" for one in incidents.list(None, 2000)):
            break
    assert {one.system_state for one in incidents.list(None, 2000)} == {"recovered"}
    assert len(commits) >= 3


def test_a_storm_that_ends_costs_no_statement_for_each_incident(db: Database) -> None:
    """Paged, acknowledged and resolved ones, and tickets: each ends as it would alone, in a few statements together."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    storm = [finding(number, f"service-{number}") for number in range(120)]
    tickets = [
        replace(finding(number, f"depot-{number}"), severity="ticket", onset=NOW - timedelta(hours=1))
        for number in range(20)
    ]
    opened = incidents.observe([*storm, *tickets], now=NOW)
    incidents.page_all([one for one in opened if incidents.get(one).severity == "page"][:80])
    paged = [one for one in opened if incidents.get(one).human_state == "paged"]
    incidents.acknowledge(paged[0], Actor(name="ana", via="cli"), "a")
    incidents.resolve(paged[1], Actor(name="ana", via="cli"), "r")
    statements: list[str] = []

    def count(*given: object) -> None:
        statements.append(str(given[2]))

    event.listen(db.engine, "before_cursor_execute", count)
    incidents.observe([], now=clock.advance(60))
    event.remove(db.engine, "before_cursor_execute", count)
    assert len(statements) < 60
    assert {one.system_state for one in incidents.list(None, 500)} == {"recovered"}
    with db.read() as connection:
        for one in opened:
            refolded, kept = journal.refold(connection, one), incidents.get(one)
            assert (refolded.version, refolded.timeline) == (kept.version, kept.timeline)
            assert [entry.kind for entry in kept.timeline[-2:]] == ["cleared", "recovered"]
        waiting = select(timers.c.kind, func.count()).where(timers.c.done_at.is_(None)).group_by(timers.c.kind)
        pending = {row[0]: row[1] for row in connection.execute(waiting)}
        shown = select(func.count()).select_from(outbox).where(outbox.c.body.contains("recovered"))
        news = connection.scalar(shown)
    assert pending["quiet"] == len(tickets)
    assert pending["expire"] == len(paged) - 2
    assert pending["ack_timeout"] == 1
    assert news == len(paged)


def test_one_that_cannot_end_keeps_no_other_of_its_storm_from_ending(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and the next round ends it."""
    problems = Problems(None)
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig(), problems=problems)
    storm = [finding(number, f"service-{number}") for number in range(20)]
    incidents.observe(storm, now=NOW)
    kept = journal.append_all

    def refuse(connection: Connection, changes: Sequence[journal.Change]) -> None:
        if any(change.before.service == "service-7" for change in changes):
            raise ValueError("cannot be kept")
        kept(connection, changes)

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(journal, "append_all", refuse)
        incidents.observe([], now=NOW)
    assert [one.service for one in incidents.list() if one.system_state == "firing"] == ["service-7"]
    assert len(problems.current()) == 1
    incidents.observe([], now=NOW)
    assert {one.system_state for one in incidents.list()} == {"recovered"}


def test_one_that_cannot_be_kept_keeps_no_other_of_its_storm_from_being_opened(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, no finding is counted to it, and the next round opens it."""
    problems = Problems(None)
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig(), problems=problems)
    storm = [finding(number, f"service-{number}") for number in range(20)]
    kept = journal.add_incidents

    def refuse(connection: Connection, opened: Sequence[tuple[Incident, Sequence[Event]]]) -> None:
        if any(incident.service == "service-7" for incident, _ in opened):
            raise ValueError("cannot be kept")
        kept(connection, opened)

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(journal, "add_incidents", refuse)
        opened = incidents.observe(storm, now=NOW)
    assert {incidents.get(one).service for one in opened} == {one.service for one in storm} - {"service-7"}
    assert [problem.subject for problem in problems.current()] == ["service-7: alert 7"]
    (late,) = incidents.observe(storm, now=NOW)
    assert incidents.get(late).service == "service-7"


def test_findings_that_join_cost_no_statement_each(db: Database) -> None:
    """Those of one round, whether or not their incidents were open before; each has its line, in its order."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    incidents.page_all(incidents.observe([finding(number, f"service-{number}") for number in range(20)], now=NOW))
    storm = [finding(1000 * rule + number, f"service-{number}") for rule in range(5) for number in range(40)]
    statements: list[str] = []

    def count(*given: object) -> None:
        statements.append(str(given[2]))

    event.listen(db.engine, "before_cursor_execute", count)
    opened = incidents.observe(storm, now=clock.advance(5))
    event.remove(db.engine, "before_cursor_execute", count)
    assert len(opened) == 20
    assert len(statements) < 40
    found = incidents.list(None, 100)
    assert {len(one.findings) for one in found} == {5}
    with db.read() as connection:
        for one in found:
            refolded = journal.refold(connection, one.id)
            assert (refolded.version, refolded.timeline, refolded.findings) == (one.version, one.timeline, one.findings)
            joined = [entry for entry in one.timeline if entry.kind == "joined"]
            assert len({entry.text for entry in joined}) == len(joined) == 4
    assert incidents.observe(storm, now=clock.advance(5)) == ()
    assert {one.version for one in incidents.list(None, 100)} == {one.version for one in found}


def test_an_incident_that_cannot_be_joined_keeps_no_other_finding_from_its_own(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, nothing is counted to it, and the next round joins it."""
    problems = Problems(None)
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig(), problems=problems)
    incidents.observe([finding(number, f"service-{number}") for number in range(10)], now=NOW)
    storm = [finding(100 * rule + number, f"service-{number}") for rule in range(3) for number in range(10)]
    kept = journal.append_all

    def refuse(connection: Connection, changes: Sequence[journal.Change]) -> None:
        if any(change.before.service == "service-7" for change in changes):
            raise ValueError("cannot be kept")
        kept(connection, changes)

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(journal, "append_all", refuse)
        incidents.observe(storm, now=NOW)
    sizes = {one.service: len(one.findings) for one in incidents.list()}
    assert sizes.pop("service-7") == 1
    assert set(sizes.values()) == {3}
    assert len(problems.current()) == 1
    incidents.observe(storm, now=NOW)
    assert {len(one.findings) for one in incidents.list()} == {3}


def test_what_joins_an_incident_that_cannot_be_opened_waits_with_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come in the next round."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig(), problems=Problems(None))
    storm = [finding(100 * rule + number, f"service-{number}") for rule in range(2) for number in range(5)]
    kept = journal.add_incidents

    def refuse(connection: Connection, opened: Sequence[tuple[Incident, Sequence[Event]]]) -> None:
        if any(incident.service == "service-3" for incident, _ in opened):
            raise ValueError("cannot be kept")
        kept(connection, opened)

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(journal, "add_incidents", refuse)
        incidents.observe(storm, now=NOW)
    assert {one.service: len(one.findings) for one in incidents.list()} == {f"service-{n}": 2 for n in (0, 1, 2, 4)}
    incidents.observe(storm, now=NOW)
    assert {one.service: len(one.findings) for one in incidents.list()} == {f"service-{n}": 2 for n in range(5)}


def test_one_that_moved_on_is_paged_with_the_others(db: Database) -> None:
    """What somebody acknowledged meanwhile pages nobody; all others are paged once, also where they come twice."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    opened = incidents.observe([finding(number, f"service-{number}") for number in range(6)], now=NOW)
    incidents.acknowledge(opened[2], Actor(name="ana", via="cli"), "mine")
    with capture_logs():
        incidents.page_all([*opened, opened[0], "inc-gone"])
    states = [incidents.get(one).human_state for one in opened]
    assert states == ["acknowledged" if one == opened[2] else "paged" for one in opened]
    assert all([entry.kind for entry in incidents.get(one).timeline].count("paged") <= 1 for one in opened)


def test_a_storm_on_one_service_is_one_incident_that_a_human_ends_whole(db: Database) -> None:
    """It tells of so many findings; the others are counted to it, and end with it."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    storm = [finding(number, "payments") for number in range(MOST_FINDINGS + 30)]
    record_alerts(db, [AlertNotice(finding=one, resolved=False) for one in storm], NOW, timedelta(days=1))
    for _ in range(20):
        incidents.observe(read_alerts(db, NOW)[0], now=NOW)
    (incident,) = incidents.list()
    assert len(incident.findings) == MOST_FINDINGS
    incidents.resolve(incident.id, Actor(name="ana", via="cli"), "over")
    assert read_alerts(db, NOW)[0] == ()
    later = clock.advance(600)
    assert incidents.observe(read_alerts(db, later)[0], now=later) == ()


def test_alerts_that_stand_are_not_placed_again_until_something_changes(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand that fire for hours cost a round a look at each; a decision on one incident, that incident's."""
    placed: list[str] = []

    def counted(finding: Finding, *rest: Any) -> Any:
        placed.append(finding.service)
        return place(finding, *rest)

    monkeypatch.setattr(observation, "place", counted)
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    storm = [finding(number, f"service-{number % 4}") for number in range(20)]
    opened = incidents.observe(storm, now=NOW)
    incidents.observe(storm, now=NOW)
    placed.clear()
    incidents.observe(storm, now=NOW)
    assert placed == []
    incidents.acknowledge(opened[0], Actor(name="Ana", via="cli"), "a")
    incidents.observe(storm, now=NOW)
    assert set(placed) == {incidents.get(opened[0]).service}
    repeated = [replace(storm[0], seen_at=NOW + timedelta(seconds=9)), *storm[1:]]
    incidents.observe(repeated, now=NOW)
    placed.clear()
    incidents.observe([replace(storm[0], seen_at=NOW + timedelta(seconds=20)), *storm[1:]], now=NOW)
    assert placed == [storm[0].service]


def test_an_alert_that_fires_on_after_a_resolve_opens_a_new_incident_though_it_stood(db: Database) -> None:
    """Nothing of an earlier round hides that its incident is over."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, OnCallConfig())
    stands = [finding(1, "cart")]
    (first,) = incidents.observe(stands, now=NOW)
    for _ in range(3):
        assert incidents.observe(stands, now=clock.advance(2)) == ()
    incidents.resolve(first, Actor(name="Ana", via="cli"), "r")
    assert incidents.observe(stands, now=clock.advance(60)) == ()
    (second,) = incidents.observe(stands, now=clock.advance(300))
    assert (second != first, incidents.get(second).system_state) == (True, "firing")


def test_a_service_s_alerts_of_one_round_are_written_together(db: Database) -> None:
    """However many open and join an incident at once, it is one row that is inserted and none that is changed."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    storm = [finding(1000 * rule + number, f"service-{number}") for rule in range(5) for number in range(40)]
    with counted(db) as statements:
        opened = incidents.observe(storm, now=NOW)
    assert len(opened) == 40
    assert not [one for one in statements if one.startswith("UPDATE incidents")]
    with db.read() as connection:
        for one in opened:
            kept = incidents.get(one)
            assert journal.refold(connection, one) == kept
            assert [entry.kind for entry in kept.timeline] == ["opened", *["joined"] * 4]


def test_a_finding_that_cannot_join_does_not_keep_its_incident_from_opening(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page goes out; what could not join is named, and joins in the next round."""
    problems = Problems(None)
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig(), problems=problems)
    storm = [finding(100 * rule + number, f"service-{number}") for rule in range(3) for number in range(5)]
    added, appended = journal.add_incidents, journal.append_all

    def add(connection: Connection, opened: Sequence[tuple[Incident, Sequence[Event]]]) -> None:
        if any(incident.service == "service-3" and len(events) > 1 for incident, events in opened):
            raise ValueError("cannot be kept")
        added(connection, opened)

    def append(connection: Connection, changes: Sequence[journal.Change]) -> None:
        if any(change.before.service == "service-3" for change in changes):
            raise ValueError("cannot be kept")
        appended(connection, changes)

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(journal, "add_incidents", add)
        patch.setattr(journal, "append_all", append)
        opened = incidents.observe(storm, now=NOW)
    sizes = {incidents.get(one).service: len(incidents.get(one).findings) for one in opened}
    assert sizes == {"service-3": 1} | {f"service-{number}": 3 for number in (0, 1, 2, 4)}
    assert len(problems.current()) == 1
    incidents.observe(storm, now=NOW)
    assert {len(one.findings) for one in incidents.list()} == {3}


def test_a_storm_that_fires_again_costs_no_statement_for_each_incident(db: Database, oncall: OnCallConfig) -> None:
    """Acknowledged ones fire again together; who let the acknowledgement time out is paged, and nobody else."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, oncall)
    storm = [finding(1000 * rule + number, f"service-{number}") for rule in range(3) for number in range(60)]
    opened = incidents.observe(storm, now=NOW)
    incidents.page_all(opened)
    for one in opened:
        incidents.acknowledge(one, Actor(name="Ana", via="cli"), "a")
    incidents.observe([], now=clock.advance(60))
    late = opened[7]
    with db.write() as connection:
        ended = timers.c.incident_id.in_([late]) & (timers.c.kind == "ack_timeout")
        connection.execute(update(timers).where(ended).values(done_at=1))
        connection.execute(update(outbox).values(sent_at=1))
    now = clock.advance(300)
    with counted(db) as statements:
        assert incidents.observe([replace(one, onset=now, seen_at=now) for one in storm], now=now) == ()
    assert len(statements) < 90
    with db.read() as connection:
        for one in opened:
            kept = incidents.get(one)
            assert journal.refold(connection, one) == kept
            assert (kept.system_state, kept.human_state) == ("firing", "paged" if one == late else "acknowledged")
            kinds = [entry.kind for entry in kept.timeline]
            again = kinds[kinds.index("refired") :]
            assert sorted(again) == sorted(["refired", *["joined"] * 3, *(["ack_timed_out"] if one == late else [])])
        waiting = connection.execute(
            select(outbox.c.incident_id, outbox.c.body).where(outbox.c.sent_at.is_(None))
        ).all()
    assert {row.incident_id for row in waiting} == set(opened)
    assert {row.incident_id for row in waiting if '"kind":"page"' in row.body} == {late}


def test_a_round_about_other_findings_reads_none_of_a_storm(db: Database) -> None:
    """The detectors' round goes on beside ten thousand alerts, which it neither judges nor ends."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    storm = [finding(number, f"service-{number}") for number in range(30)]
    incidents.observe(storm, now=NOW)
    with counted(db) as statements:
        incidents.observe([], now=NOW, judged=lambda one: one.kind != "alert")
    assert not [one for one in statements if "findings.body" in one]
    assert {one.system_state for one in incidents.list(None, 100)} == {"firing"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1.5, "a name"),
        (float("inf"), "a name"),
        (float("nan"), "a name"),
        (None, "half a pair \ud800"),
        (None, "a NUL \0"),
    ],
)
def test_what_was_written_is_known_as_any_other_process_reads_it(db: Database, value: float | None, name: str) -> None:
    """The text of the record has no infinite numbers, and replaces some characters."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    strange = replace(finding(1, "cart"), value=value, alert=AlertDetails(name=name))
    (opened,) = incidents.observe([strange], now=NOW)
    with db.read() as connection:
        body = connection.scalar(select(incident_rows.c.body))
    assert body is not None
    assert incidents.get(opened) == parse(Incident, body)
