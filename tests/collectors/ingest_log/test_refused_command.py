"""`watchkeeper ingest refused`: see what could not be stored, put it back, or delete it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collectors.commands.refused import app
from collectors.ingest_log import quarantine
from collectors.ingest_log.framing import framed
from collectors.ingest_log.senders import write_senders

NAME = f"{1_700_000_000_000_000_000:020d}-0badc0de.traces.all"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation with one quarantined request."""
    folder = tmp_path / "data" / "ingest-log"
    folder.mkdir(parents=True)
    path = folder / f"{NAME}.ready"
    path.write_bytes(framed([b"\x08\x05"]))
    write_senders(path, ["10.1.2.3"])
    note = quarantine.describe(path, reason="Code: 444.\x1b[31m corrupted", code=444, now=1_700_000_000)
    quarantine.set_aside(path, note)
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(f"data_dir: {tmp_path / 'data'}\n")
    return file


def run(config: Path, *arguments: str, answer: str | None = None) -> Result:
    """One command."""
    return CliRunner().invoke(app, [*arguments, "--config", str(config)], input=answer)


def names(config: Path) -> list[str]:
    """The segments of the installation, in whatever state."""
    folder = config.parent / "data" / "ingest-log"
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".ready", ".refused", ".json"))


def test_list_names_sender_and_reason(config: Path) -> None:
    """A human's list is free of control characters; a script gets JSON."""
    text = run(config, "list").stdout
    assert NAME in text
    assert "10.1.2.3" in text
    assert "Code: 444. [31m corrupted" in text
    (row,) = json.loads(run(config, "list", "--json").stdout)
    assert (row["name"], row["senders"], row["refused_at"]) == (NAME, ["10.1.2.3"], "2023-11-14T22:13:20+00:00")


def test_show_prints_the_bytes(config: Path) -> None:
    """What was refused can be looked at without tools."""
    assert "2 bytes: 0805" in run(config, "show", NAME).stdout
    assert json.loads(run(config, "show", NAME, "--json").stdout)["bytes"] == ["0805"]


@pytest.mark.parametrize("arguments", [[NAME], [f"{NAME}.refused"], ["--all"]])
def test_retry_puts_it_back(config: Path, arguments: list[str]) -> None:
    """One by name, or all."""
    assert "1 segment(s)" in run(config, "retry", *arguments).stdout
    assert names(config) == [f"{NAME}.ready"]


def test_drop_asks_first(config: Path) -> None:
    """Nothing is deleted without a yes."""
    assert run(config, "drop", NAME, answer="n\n").exit_code != 0
    assert len(names(config)) == 2
    assert run(config, "drop", NAME, "--yes").exit_code == 0
    assert names(config) == []


@pytest.mark.parametrize("name", ["nothing", "../secrets", "/etc/passwd", ""])
def test_an_unknown_name_changes_nothing(config: Path, name: str) -> None:
    """Neither does a path to elsewhere."""
    assert run(config, "retry", name).exit_code != 0
    assert len(names(config)) == 2


def test_names_or_all_must_be_given(config: Path) -> None:
    """`retry` alone is a mistake, not everything."""
    assert run(config, "retry").exit_code == 2
    assert len(names(config)) == 2
