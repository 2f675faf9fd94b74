"""Findings of before suppressions had tables and fields of their own are read, with all that was known of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, text

from detectors.learning.judged import incidents_of
from detectors.learning.suppression import barred, find, reopen, reopenings, suppressed_findings
from tests.kept_findings import findings_between
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.database import Database, upgrade
from watchkeeper.vocabulary import Actor, AlertDetails, Conditions, Episode, Suppression, Window, utc

NOW: Final = 1_772_442_000  # 2026-03-02 09:00 UTC
OF_LEARNING: Final = {
    "held back": "like two false pages",
    "held back by": "7",
    "load": "2.50",
    "common": "1.10",
    "peak score": "0.531",
    "peak value": "97.25",
    "deployed before": "40",
}
OF_AN_ALERT: Final = {
    "alertname": "Disk",
    "labels": "job=a",
    "url": "http://a",
    "runbook_url": "http://b",
    "truncated": "3",
}


def body(key: str, attributes: dict[str, str], **more: Any) -> dict[str, Any]:
    """A finding as it was written before."""
    tree = {"detector": "red.latency", "detector_version": "1", "kind": "latency", "service": "cart", "summary": "slow"}
    times = {"onset": "2026-03-02T09:00:00Z", "seen_at": "2026-03-02T09:00:10Z"}
    return {**tree, **times, "score": 0.53, "severity": "ticket", "attributes": attributes, "key": key, **more}


def test_attributes_and_audit_rows_become_fields_suppressions_and_reopenings(tmp_path: Path) -> None:
    """In findings, alerts and incidents; a second reopening after the upgrade still counts once."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    old, plain = body("red:cart", OF_LEARNING), body("red:web", {}, service="web", severity="page")
    alert = body("am:1", OF_AN_ALERT, detector="alertmanager", kind="alert")
    incident = {"id": "inc-1", "opened_at": "2026-03-02T09:00:10Z", "findings": [old, plain], "title": "cart"}
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0007")
        for finding in (old, plain):
            row = {"key": finding["key"], "service": finding["service"], "severity": finding["severity"]}
            row |= {"at": NOW * 1_000_000, "body": json.dumps(finding, separators=(",", ":"))}
            connection.execute(
                text("INSERT INTO findings VALUES (:key, :at, :service, :severity, 'inc-1', :at, NULL, :body)"), row
            )
        values = {"at": NOW * 1_000_000, "until": (NOW + 3600) * 1_000_000, "body": json.dumps(alert)}
        columns = "key, at, started, heard_at, until, body"
        statement = f"INSERT INTO alerts ({columns}) VALUES ('am:1', :at, :at, :at, :until, :body)"
        connection.execute(text(statement), values)
        connection.execute(
            text("INSERT INTO incidents VALUES ('inc-1', 1, 'firing', 'waiting', :at, :at, NULL, :body)"),
            {"at": NOW * 1_000_000, "body": json.dumps(incident, separators=(",", ":"))},
        )
        audited = (
            "INSERT INTO audit (at, actor, via, action, subject, detail) VALUES (:at, :who, 'cli', :what, :on, 'why')"
        )
        for who in ("ana", "ben"):
            row = {"at": NOW * 1_000_000, "who": who, "what": "finding.reopened", "on": "red.latency|cart"}
            connection.execute(text(audited), row)
        connection.execute(text(audited), {"at": 1, "who": "ana", "what": "model.promoted", "on": "1"})
    engine.dispose()

    db = Database.open(url)
    try:
        cart, web = findings_between(db, Window(start=utc(NOW - 60), end=utc(NOW + 60)))
        assert cart.suppression == Suppression(reason="like two false pages", model_version="7")
        assert cart.episode == Episode(peak_score=0.531, peak_value=97.25, deployed_s=40.0)
        assert cart.conditions == Conditions(load=2.5, slowdown=1.1)
        assert (web.suppression, web.episode, web.conditions, web.alert) == (None, None, None, None)
        with db.read() as connection:
            assert incidents_of(connection, ["inc-1"])["inc-1"].findings == (cart, web)
        (kept,), _ = read_alerts(db, utc(NOW))
        assert kept.alert == AlertDetails(
            name="Disk", labels="job=a", url="http://a", runbook_url="http://b", truncated=3
        )
        (suppressed,) = suppressed_findings(db)
        assert (suppressed.version, suppressed.incident_id, suppressed.reopened) == ("7", "inc-1", True)
        assert suppressed == find(db, "red:cart")
        (reopening,) = reopenings(db)
        assert (reopening.actor, reopening.note, reopening.at) == (Actor(name="ana", via="cli"), "why", utc(NOW))
        assert barred(db) == {("red.latency", "cart")}
        changed, words = reopen(db, "red:cart", Actor(name="cleo", via="cli"), utc(NOW + 9))
        assert not changed
        assert "by ana" in words
    finally:
        db.close()
