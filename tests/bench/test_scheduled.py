"""Scheduled experiments of a campaign are such files as an installation runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.scheduled import scheduled_once
from chaos.demo.story import Plan
from chaos.registry import fault_named
from chaos.schedules.schedule import due_times, schedules
from watchkeeper.config import load


def test_each_is_due_once_at_its_minute(tmp_path: Path) -> None:
    """The file is read, checked and scheduled as anybody's would be; across midnight, too."""
    at = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    folder = tmp_path / "experiments"
    folder.mkdir()
    for number, fault in enumerate(("kill", "latency")):
        plan = Plan(fault=fault_named(fault), service="orders")
        content = scheduled_once(plan, at + timedelta(minutes=3 * number))
        (folder / f"{number}-{fault}.json").write_text(json.dumps(content))
    (tmp_path / "watchkeeper.yaml").write_text(f"data_dir: {tmp_path / 'data'}\nchaos: {{folder: {folder}}}\n")
    known, mistakes = schedules(load(tmp_path / "watchkeeper.yaml"))
    assert mistakes == {}
    due = {each.id: due_times(each.rule, at - timedelta(minutes=1), at + timedelta(minutes=10)) for each in known}
    assert due == {"0-kill": (at,), "1-latency": (at + timedelta(minutes=3),)}
    assert all(each.read().title.startswith(each.id[2:]) for each in known)
