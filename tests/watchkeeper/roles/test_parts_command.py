"""`watchkeeper parts`: what is installed, where it comes from, what is used, and what cannot be loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from watchkeeper.parts import BrokenPart, Registry
from watchkeeper.problems import Problems
from watchkeeper.roles import registered

BROKEN = "No module named 'a_library_that_is_missing'"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with an installed package that brings a part which cannot be loaded."""
    (tmp_path / "stranger.py").write_text("import a_library_that_is_missing\n")
    info = tmp_path / "stranger_parts-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-parts\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[watchkeeper.evidence]\nqueues = stranger:QUEUES\n")
    return tmp_path


def run(*words: str, shelf: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with a folder on its import path."""
    variables = os.environ | ({"PYTHONPATH": str(shelf)} if shelf else {})
    command = [sys.executable, "-m", "watchkeeper.cli.main", *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True)


def test_it_lists_every_built_in_part(tmp_path: Path) -> None:
    """With its kind, version, origin, first line and use."""
    done = run("parts", "--json", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(done.stdout)
    assert {part["origin"] for part in parts} == {"watchkeeper 0.1.0"}
    assert all(part["version"] for part in parts)
    assert all(part["summary"] for part in parts), [part["name"] for part in parts if not part["summary"]]
    assert {part["used"] for part in parts} <= {"yes", "no", "offline"}
    assert all(bool(part["reason"]) == (part["used"] != "yes") for part in parts)


def test_the_table_shows_the_same_parts() -> None:
    """One line each under a line of heads."""
    listed = json.loads(run("parts", "--kind", "evidence", "--json").stdout)
    head, *rows = run("parts", "--kind", "evidence").stdout.splitlines()
    assert head.split() == ["Kind", "Name", "Version", "From", "Used", "What"]
    assert [row.split()[:2] for row in rows] == [["evidence", part["name"]] for part in listed]


def test_a_broken_part_is_listed_with_its_reason(shelf: Path) -> None:
    """The list succeeds all the same; `--check` does not."""
    done = run("parts", "--json", shelf=shelf)
    assert done.returncode == 0, done.stderr
    (broken,) = [part for part in json.loads(done.stdout) if part["used"] == "broken"]
    assert (broken["kind"], broken["name"], broken["origin"]) == ("evidence", "queues", "stranger-parts 2.0")
    assert BROKEN in broken["reason"]
    assert run("parts", "--check", shelf=shelf).returncode == 1
    assert BROKEN in run("parts", shelf=shelf).stdout


def test_doctor_and_validate_name_a_broken_part(shelf: Path) -> None:
    """Whoever looks for what is wrong finds it there, and the configuration stays valid."""
    file = shelf / "watchkeeper.yaml"
    file.write_text(f"data_dir: {shelf / 'data'}\n")
    results = json.loads(run("doctor", "--json", "--config", str(file), shelf=shelf).stdout)
    (broken,) = [result for result in results if result["check"] == "evidence queues"]
    assert broken["status"] == "warning"
    assert BROKEN in broken["seen"]
    done = run("validate", str(file), shelf=shelf)
    assert done.returncode == 0, done.stderr
    assert BROKEN in done.stderr


def test_an_unknown_kind_is_refused() -> None:
    """With the kinds that there are."""
    done = run("parts", "--kind", "widget")
    assert done.returncode == 2
    assert "--kind widget: must be one of source, detector, evidence" in done.stderr


def test_a_role_reports_what_it_goes_on_without() -> None:
    """Named once with its reason, and over when the part is well again."""
    problems = Problems(None)
    broken = BrokenPart(kind="evidence", name="queues", origin="stranger-parts 2.0", reason="it is broken")
    problems.report("parts", "detector sawtooth of other 1.0", "was broken at an earlier start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registered, "registry_of", lambda kind: Registry(kind=kind, parts={}, broken=(broken,)))
        registered.report_broken(problems, registered.broken_parts("evidence"))
    (problem,) = problems.current()
    assert (problem.loop, problem.subject) == ("parts", "evidence queues of stranger-parts 2.0")
    assert problem.reason == "it is broken"
