"""`watchkeeper alerts`: what fires from outside, and the end of one that its sender forgot."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.webhooks.alert_episodes import record_alerts
from tests.front_door import Said, front_door
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import AlertNotice, Finding


def test_an_alert_is_listed_and_ended_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and JSON; the end is in the audit trail; an unknown key is told in one line."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text("data_dir: data\n")

    give = front_door(monkeypatch, capsys)

    def run(*words: str) -> Said:
        return give("alerts", *words, "--config", str(file))

    now = datetime.now(UTC)
    finding = Finding(
        detector="alertmanager",
        detector_version="4",
        kind="alert",
        service="pay\x1b[31mments",
        summary="[bold]Disk[/bold]\nfull \u202e",
        onset=now,
        seen_at=now,
        score=1.0,
    )
    (tmp_path / "data").mkdir()
    db = Database.open(f"sqlite:///{tmp_path / 'data' / 'state.db'}")
    record_alerts(db, [AlertNotice(finding=finding, resolved=False)], now, timedelta(days=1))
    (listed,) = json.loads(run("list", "--json")[1])
    assert (listed["key"], listed["state"]) == (finding.key, "firing")
    shown = run("list")[1]
    assert "[bold]Disk" in " ".join(shown.split())
    assert not any(mark in shown for mark in ("\x1b[31m", "\u202e"))
    assert "ended" in run("end", finding.key, "--as", "ana")[1]
    assert read_alerts(db, datetime.now(UTC))[0] == ()
    assert [(entry.action, entry.actor.name) for entry in audit_trail(db)] == [("alert.end", "ana")]
    assert json.loads(run("list", "--json")[1]) == []
    assert json.loads(run("list", "--all", "--json")[1])[0]["state"] == "ended by ana"
    status, _, error = run("end", "no\x1bsuch")
    assert (status, len(error.splitlines())) == (3, 1)
    db.close()
