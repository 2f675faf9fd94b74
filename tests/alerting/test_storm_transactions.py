"""A storm of findings: placed in short transactions, joined to the first of them, and ended with its incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import event

from alerting.incidents.commands import Incidents
from alerting.incidents.observation import MOST_CHANGES, MOST_FINDINGS
from collectors.webhooks.alert_episodes import record_alerts
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, AlertNotice, Finding

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


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
    """Whoever else writes gets a turn in between; so it is when the storm clears."""
    incidents = Incidents(db, FrozenClock(NOW), OnCallConfig())
    storm = [finding(number, f"service-{number}") for number in range(3 * MOST_CHANGES)]
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
    for _ in range(100):
        incidents.observe([], now=NOW)
        if all(one.system_state == "recovered" for one in incidents.list(None, 1000)):
            break
    assert {one.system_state for one in incidents.list(None, 1000)} == {"recovered"}
    assert len(commits) >= 3


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
