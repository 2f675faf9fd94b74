"""Experiments that are started from a page run in processes of their own, and what they say is kept."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from chaos.launches import KEPT, Launch, Launches
from chaos.running import Notes, own_note
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.private_files import private_folder

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launches:
    """An installation without a target."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data")}))
    return Launches(path, tmp_path / "data")


def ended(here: Launches) -> Launch | None:
    """The newest start, once its process has ended."""
    newest = here.newest()
    return newest[0] if newest and newest[0].status is not None else None


def test_a_refused_start_leaves_its_reason(here: Launches) -> None:
    """Nothing to break: the command's own sentence, its status, who and when."""
    launched = here.start("kill", "--all", 20, by="Ana", now=NOW)
    assert launched.pid
    last = until(lambda: ended(here), what="the end of the command")
    assert last is not None
    assert (last.id, last.fault, last.service, last.by, last.began) == (launched.id, "kill", "--all", "Ana", NOW)
    assert last.status == 1
    assert "no target is configured" in last.said
    assert not last.runs


def test_stopping_where_nothing_runs_says_so(here: Launches) -> None:
    """The command's own words."""
    assert here.stop() == "No experiment runs here."


def test_what_takes_long_to_be_put_back_is_not_torn_apart(here: Launches, tmp_path: Path) -> None:
    """The page does not wait for it; the rollbacks go on to their end."""
    slow = {"type": "process", "path": "sh", "arguments": ["-c", f"sleep 1 && touch {tmp_path}/put-back"]}
    content = {"title": "T", "rollbacks": [{"type": "action", "name": "slow", "provider": slow}]}
    note = own_note("gone", title="T", source="T", radius="", content=content)
    private_folder(folder := tmp_path / f"watchkeeper-chaos-{os.getuid()}")
    Notes(folder).write(replace(note, born="another", phase="method"))
    with pytest.raises(ChaosError, match="still being put back"):
        here.stop(within_s=0.01)
    until((tmp_path / "put-back").exists, what="the rollback")
    until(lambda: not Notes(folder).all(), what="the end of the command")


def test_what_cannot_be_read_hides_nothing_else_and_old_starts_go(here: Launches, tmp_path: Path) -> None:
    """Half a file, one of another version, and more than are kept."""
    folder = tmp_path / "data" / "chaos" / "launches"
    folder.mkdir(parents=True)
    (folder / "half.json").write_text('{"id": "x"')
    (folder / "other.json").write_text('{"id": "x", "new": 1}')
    assert here.newest() == ()
    tree = {"fault": "kill", "service": "web", "seconds": 1, "by": "Ana", "status": 0}
    for number in range(KEPT + 10):
        (folder / f"{number}.json").write_text(json.dumps({"id": str(number), "at": float(number), **tree}))
    assert [one.id for one in here.newest()][:2] == [str(KEPT + 9), str(KEPT + 8)]
    here.start("kill", "web", 1, by="Ana", now=NOW)
    assert len(list(folder.glob("*.json"))) <= KEPT + 1
