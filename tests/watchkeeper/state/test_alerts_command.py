"""`watchkeeper alerts`: what fires from outside, and the end of one that its sender forgot."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collectors.webhooks.alert_episodes import record_alerts
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import AlertNotice, Finding


def test_an_alert_is_listed_and_ended_by_its_key(tmp_path: Path) -> None:
    """As text and JSON; the end is in the audit trail; an unknown key is told in one line."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text("data_dir: data\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "watchkeeper.cli.main", "alerts", *words, "--config", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

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
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["key"], listed["state"]) == (finding.key, "firing")
    shown = run("list").stdout
    assert "[bold]Disk" in " ".join(shown.split())
    assert not any(mark in shown for mark in ("\x1b[31m", "\u202e"))
    assert "ended" in run("end", finding.key, "--as", "ana").stdout
    assert read_alerts(db, datetime.now(UTC))[0] == ()
    assert [(entry.action, entry.actor.name) for entry in audit_trail(db)] == [("alert.end", "ana")]
    assert json.loads(run("list", "--json").stdout) == []
    assert json.loads(run("list", "--all", "--json").stdout)[0]["state"] == "ended by ana"
    unknown = run("end", "no\x1bsuch")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (3, 1)
    db.close()
