"""The watch role's jobs on a bad night: the store away, items that are poison, a clock that steps back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from alerting.incidents.commands import Incidents
from collectors.webhooks.alert_episodes import record_alerts as record_notices
from tests.kept_findings import findings_between
from tests.waiting import until
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, WatchConfig
from watchkeeper.problems import Problems
from watchkeeper.roles.loops import Job, Loops
from watchkeeper.roles.watch import Reader, Watch
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import alerts as alerts_table
from watchkeeper.state.schema import findings as findings_table
from watchkeeper.vocabulary import AlertNotice, Finding, Window


@pytest.fixture(params=["nobody listens", "it accepts and never answers"])
def away(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """A store that is away: its port is closed, or whoever holds it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param != "nobody listens":
            listener.listen(64)
        reader = Reader(url=f"http://127.0.0.1:{listener.getsockname()[1]}", database="otel", user="u", password="p")
        reader.timeout_s = 1.0
        yield reader


@pytest.fixture
def problems() -> Problems:
    return Problems(None)


@pytest.fixture
def watch(tmp_path: Path, away: Reader, db: Database, problems: Problems) -> Watch:
    """A watch role whose store is away."""
    config = Config(data_dir=tmp_path / "data", watch=WatchConfig(settle_s=0))
    return Watch(config, away, db, problems)


def record_alerts(db: Database, firing: list[Finding], *, resolved: bool = False) -> None:
    """What a sender says of its alerts."""
    notices = [AlertNotice(finding=one, resolved=resolved) for one in firing]
    record_notices(db, notices, datetime.now(UTC), timedelta(days=1))


def finding(service: str, *, kind: str = "alert", onset: datetime | None = None) -> Finding:
    now = datetime.now(UTC)
    return Finding(
        detector="alertmanager" if kind == "alert" else f"red.{kind}",
        detector_version="4",
        kind=kind,  # type: ignore[arg-type]
        service=service,
        summary=f"{service}: {kind}",
        onset=onset or now,
        seen_at=now,
        score=1.0,
    )


def test_an_alert_from_outside_pages_while_the_store_is_away(watch: Watch, db: Database, problems: Problems) -> None:
    """What needs no telemetry waits for none: it opens, pages and clears, and the missing store is told."""
    alert = finding("cart")
    record_alerts(db, [alert])
    watch.tick()
    watch.alerts()
    watch.diagnose()
    (incident,) = watch.incidents.list("open")
    assert incident.service == "cart"
    assert incident.paged_at is not None
    assert [(one.loop, one.subject) for one in problems.current()] == [("tick", "the telemetry store")]
    record_alerts(db, [alert], resolved=True)
    watch.alerts()
    assert watch.incidents.get(incident.id).system_state == "recovered"


def test_what_detectors_found_stays_while_telemetry_is_unknown(watch: Watch, db: Database) -> None:
    """Neither the round of the alerts nor a tick without data clears or opens what it cannot judge."""
    found = finding("orders", kind="errors")
    (incident_id,) = watch.incidents.observe([found])
    for _ in range(2):
        watch.alerts()
        watch.tick()
    assert watch.incidents.get(incident_id).firing_keys == {found.key}
    with db.read() as connection:
        cleared = connection.scalar(select(findings_table.c.cleared_at).where(findings_table.c.key == found.key))
    assert cleared is None


def test_an_alert_joins_by_the_call_graph_that_was_known_before(watch: Watch, db: Database) -> None:
    """Without the store the last known calls still tell one trouble from two."""
    watch._edges = (("web", "cart"),)
    record_alerts(db, [finding("cart"), finding("web"), finding("blog")])
    watch.alerts()
    assert sorted(sorted(f.service for f in one.findings) for one in watch.incidents.list()) == [
        ["blog"],
        ["cart", "web"],
    ]


def test_an_alert_that_became_unreadable_ends_its_incident_when_it_ends(watch: Watch, db: Database) -> None:
    """While nobody can read it, it fires on; once somebody ended it, its incident recovers."""
    record_alerts(db, [finding("cart")])
    watch.alerts()
    with db.write() as connection:
        connection.execute(alerts_table.update().values(body="damaged"))
    watch.alerts()
    (incident,) = watch.incidents.list("open")
    assert incident.system_state == "firing"
    with db.write() as connection:
        connection.execute(alerts_table.update().values(ended_at=to_micros(datetime.now(UTC)), ended_by="Ana"))
    watch.alerts()
    assert watch.incidents.get(incident.id).system_state == "recovered"


def test_a_judgement_that_fails_pages_more_and_never_less(
    watch: Watch, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned dies of a finding: all of that tick's findings page, and the problem is reported."""
    found = finding("cart", kind="errors")
    monkeypatch.setattr(watch._live, "tick", lambda *_: [found])
    monkeypatch.setattr(watch, "_read_call_graph", lambda _: None)
    monkeypatch.setattr(watch._learner, "_judged", lambda _: 1 / 0)
    watch.tick()
    assert [one.service for one in watch.incidents.list("open")] == ["cart"]
    assert [(one.loop, one.subject) for one in problems.current()] == [("tick", "what was learned")]


def test_an_alert_that_is_poison_is_set_aside_and_the_others_page(
    watch: Watch, db: Database, problems: Problems
) -> None:
    """A row that cannot be read, and one whose time no calendar can step back from, cost the others nothing."""
    known = finding("bank")
    record_alerts(db, [known])
    watch.alerts()
    at = to_micros(datetime.now(UTC))
    times = {"at": at, "started": 0, "heard_at": at, "until": 2 * at}
    with db.write() as connection:
        connection.execute(alerts_table.update().values(body='{"detector": 1}'))
        connection.execute(insert(alerts_table).values(key="text", **times, body="not JSON \x01"))
    first = finding("ledger", onset=datetime(1, 1, 1, tzinfo=UTC))
    record_alerts(db, [first, finding("cart")])
    watch.alerts()
    watch.diagnose()
    paged = {incident.service: incident.paged_at for incident in watch.incidents.list("open")}
    assert paged["cart"] is not None
    assert paged["bank"] is not None
    assert {f"alert {known.key}", "alert text"} <= {one.subject for one in problems.current()}
    # What cannot be read is not known to be over.
    bank = next(one for one in watch.incidents.list() if one.service == "bank")
    assert bank.firing_keys == {known.key}


def test_a_finding_that_a_database_cannot_keep_costs_the_others_nothing(
    watch: Watch, db: Database, problems: Problems
) -> None:
    """SQLite takes a name of 10,000 characters or a NUL, PostgreSQL takes neither: the next finding pages on both."""
    bad = [finding("x" * 10_000), finding("a\0b")]
    watch.incidents.observe([*bad, finding("cart")])
    watch.diagnose()
    paged = {incident.service: incident.paged_at for incident in watch.incidents.list("open")}
    assert paged["cart"] is not None
    kept = findings_between(db, Window.last(3600, until=datetime.now(UTC) + timedelta(minutes=1)))
    assert "cart" in {one.service for one in kept}


def test_a_clock_that_steps_back_delays_no_page(watch: Watch, db: Database) -> None:
    """An incident that was opened half an hour from now, by the clock before its step, is explained and paged now."""
    future = FrozenClock(datetime.now(UTC) + timedelta(minutes=30))
    Incidents(db, future, Config().oncall).observe([finding("cart")])
    watch.diagnose()
    (incident,) = watch.incidents.list("open")
    assert incident.paged_at is not None


def test_a_round_that_fails_is_told_and_the_next_one_comes(problems: Problems) -> None:
    """By a clock that nobody can set; the problem is over as soon as a round works."""
    stopping, rounds, fail = threading.Event(), [0], [True]

    def work() -> None:
        rounds[0] += 1
        if fail[0]:
            raise ValueError("poison")

    loops = Loops((Job(name="page", work=work, every_s=0.01),), problems, stopping)
    loops.start()
    until(lambda: rounds[0] > 3)
    (problem,) = problems.current()
    assert (problem.loop, problem.reason) == ("page", "ValueError: poison")
    fail[0] = False
    until(lambda: not problems.current())
    stopping.set()
    loops.join()


@pytest.mark.parametrize(
    ("now", "since_s", "wait_s"),
    [
        (1000.0, 2.4, 0.1),  # 1000.1 is 2.6 s after a multiple of 2.5
        (1000.0, 0.3, 2.6),  # it has just begun: the first round comes at any time
        (1002.5999, 0.0, 2.5001),  # it woke a little early: not twice
        (1003.6, 1.0, 1.5),
        (1010.0, 7.4, 0.1),
    ],
)
def test_rounds_keep_step_with_the_clock(
    monkeypatch: pytest.MonkeyPatch, now: float, since_s: float, wait_s: float
) -> None:
    """At 0.1 s after each multiple of 2.5 s, however long a round takes; never two at once."""
    monkeypatch.setattr(time, "time", lambda: now)
    job = Job(name="tick", work=lambda: None, every_s=2.5, at_s=2.6)
    assert job.wait_s(since_s) == pytest.approx(wait_s)


def test_rounds_without_a_step_come_as_they_began() -> None:
    """So long after the last one began, or at once where that took longer."""
    job = Job(name="act", work=lambda: None, every_s=0.5)
    assert [job.wait_s(since_s) for since_s in (0.1, 0.5, 3.0)] == [0.4, 0.0, 0.0]
