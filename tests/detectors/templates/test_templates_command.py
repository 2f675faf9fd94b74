"""`watchkeeper templates` on files."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detectors.commands.templates import app
from detectors.templates.miner import TemplateMiner
from detectors.templates.shape import Shapes
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


LINES = tuple(
    f"{level} {text} {number}"
    for number in range(8)
    for level in ("ERROR", "INFO")
    for text in ("connection refused by peer", "disk is full again")
)
COLOURS = {
    "level": lambda line: "\x1b[1;31m{}\x1b[0m {}".format(*line.split(" ", 1)),
    "whole line": lambda line: f"\x1b[31m{line}\x1b[0m",
    "each word": lambda line: " ".join(f"\x1b[38;5;196m{word}\x1b[m" for word in line.split(" ")),
    "one byte": lambda line: f"\x9b31m{line}\x9b0m",
    "syslog": lambda line: f"#033[32m{line}#033[0m",
    "title and link": lambda line: f"\x1b]0;job\x07{line}\x1b]8;;\x1b\\",
    "cursor": lambda line: f"\x1b[2K\x1b[1G{line}",
    "caret": lambda line: f"^[[33m{line}^[[0m",
    "JSON": lambda line: '{"msg": "\\u001b[31m' + line + '\\u001b[0m"}',
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_change_no_template(kind: str) -> None:
    """Coloured lines have the templates of plain ones: ERROR and INFO stay apart, no word is lost."""
    plain, coloured = TemplateMiner(), TemplateMiner()
    expected = LINES if kind != "JSON" else tuple('{"msg": "' + line + '"}' for line in LINES)
    ids = coloured.add_many(COLOURS[kind](line) for line in LINES)
    assert ids.tolist() == plain.add_many(expected).tolist()
    assert coloured.templates() == plain.templates()
    assert len(set(ids.tolist())) == 4


def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path) -> None:
    """Progress bars, form feeds and Unicode's separators do not count as lines; CRLF is one end."""
    log, out = tmp_path / "app.log", tmp_path / "templates.csv"
    log.write_bytes("start\r\n10%\r20%\r30%\nform\x0cfeed\u2028para\u2029graph\x85next\nERROR failed\n".encode())
    run.invoke(app, [str(log), "--out", str(out)], catch_exceptions=False)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["line"], row["template"]) for row in rows][-1] == ("4", "ERROR failed")


def test_standard_input_is_read_as_a_file_is(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and carriage returns, from a pipe."""
    out = tmp_path / "templates.csv"
    command = [sys.executable, "-m", "watchkeeper.cli.main", "templates", "-", "--out", str(out)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"}
    done = subprocess.run(command, input=b"caf\xe9 \xff open\ra\rb\nclosed\n", capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [row["line"] for row in csv.DictReader(out.read_text().splitlines())] == ["1", "2"]


HOSTILE = {
    "escaped quotes": lambda n: "body " + '\\"k\\":\\"v\\",' * n,
    "open quotes after keys": lambda n: 'msg="a\\" ' * n,
    "one open quote": lambda n: '"' + "a\\b " * n,
    "apostrophes": lambda n: "it's o'clock 'tis " * n,
    "brackets": lambda n: "(" * n + ")" * n + ": x",
    "escapes": lambda n: "\x1b[" * n + "\x1b]" * n,
    "one long word": lambda n: "x" * 20 * n,
    "nested JSON": lambda n: '{"a": ' * n + "1" + "}" * n,
    "equals": lambda n: "=" * n + "a=" * n,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_line_takes_longer_than_its_length(kind: str) -> None:
    """A line sixteen times as long takes less than sixty-four times as long: nothing is quadratic."""

    def seconds(n: int) -> float:
        line = HOSTILE[kind](n)
        best = float("inf")
        for _ in range(3):
            shapes, began = Shapes(), time.process_time()
            shapes.of(line)
            best = min(best, time.process_time() - began)
        return best

    small = max(seconds(2_000), 1e-4)
    assert seconds(32_000) < 64 * small
