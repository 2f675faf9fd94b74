"""`watchkeeper templates` on files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from watchkeeper.cli.templates import app
from watchkeeper.errors import DetectorError

run = CliRunner()


def test_each_line_becomes_a_row(tmp_path: Path) -> None:
    """Line number, template id and template, in order."""
    log, out = tmp_path / "app.log", tmp_path / "templates.csv"
    log.write_text("user 1 logged in\ncache cold\nuser 2 logged in\n")
    assert run.invoke(app, [str(log), "--out", str(out)]).exit_code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["line"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["template_id"] == rows[2]["template_id"] != rows[1]["template_id"]
    assert rows[0]["template"] == "user <*> logged in"


def test_rows_settle_after_so_many_lines(tmp_path: Path) -> None:
    """A template found to be one with another within the wait has one id in the file."""
    log, out = tmp_path / "app.log", tmp_path / "templates.csv"
    log.write_text("".join(f"queue of {name} is full now\n" for name in ("shop-a", "shop-b", "shop-c")))
    run.invoke(app, [str(log), "--out", str(out)])
    assert len({row["template_id"] for row in csv.DictReader(out.read_text().splitlines())}) == 1


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(DetectorError, match=r"nowhere\.log"):
        run.invoke(app, [str(tmp_path / "nowhere.log"), "--out", str(tmp_path / "x")], catch_exceptions=False)
