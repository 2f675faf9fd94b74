"""The shape of the project: imports point down, names are plain, commands are documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from watchkeeper.cli.main import COMMANDS
from watchkeeper.store.schema import _tables

ROOT = Path(__file__).parents[2]
PACKAGES = ("watchkeeper", "collectors", "detectors", "rca", "alerting", "dashboard", "runbooks", "chaos", "agent")
LARGEST_SHARE = 0.20  # of `watchkeeper/`
# Fills a store with example rows for the suite of pages.
SQL_ELSEWHERE = ("dashboard/example_site.py",)
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core", "service", "handler"}


def test_imports_point_down() -> None:
    """The layers contract of pyproject.toml holds."""
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_what_all_packages_share_stays_small() -> None:
    """Code that serves one package lives in it: `watchkeeper/` keeps to its share of all lines outside tests."""
    lines = {package: _lines(package) for package in (*PACKAGES, "bench")}
    share = lines["watchkeeper"] / sum(lines.values())
    assert share <= LARGEST_SHARE, f"watchkeeper/ has {share:.1%} of the lines; move what serves one package into it"


def test_telemetry_is_read_and_written_by_the_store_alone() -> None:
    """No other code names a telemetry table in a text: SQL about telemetry is in `watchkeeper/store/`."""
    tables = "|".join(table.name for table in _tables())
    sql = re.compile(rf"\botel_(traces|logs|metrics_\w*)|\b(FROM|JOIN|INTO|TABLE)\s+(\w+\.)?({tables})\b")
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {found[0]}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if ROOT / "watchkeeper" / "store" not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := sql.search(node.value))
    ]
    assert not [each for each in offenders if not each.startswith(SQL_ELSEWHERE)]


def _lines(package: str) -> int:
    return sum(len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py"))


def test_no_module_has_a_vague_name() -> None:
    """A file says what is in it."""
    found = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if p.stem in VAGUE]
    assert found == []


def test_no_module_shadows_the_standard_library() -> None:
    """A top-level module named like a standard one would be imported by strangers."""
    assert not set(PACKAGES) & set(sys.stdlib_module_names)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_a_module_with_help_and_an_example(command: str) -> None:
    """`--help` of every command works and shows how to use it."""
    app = import_module(COMMANDS[command][0]).app
    commands = app.registered_commands
    assert commands or app.registered_groups
    for one in commands:
        assert one.callback.__doc__
        assert "xample" in (one.epilog or "") + (one.callback.__doc__ or ""), (
            f"{one.callback.__name__} shows no example"
        )


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    """A command that no page mentions does not exist for users."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"watchkeeper {command}" in page.read_text() for page in pages)


def test_locks_name_no_address_and_carry_hashes() -> None:
    """What is installed is what was pinned, wherever it comes from."""
    locks = sorted(ROOT.glob("requirements*.lock"))
    assert [lock.name for lock in locks] == [f"requirements{which}.lock" for which in ("-build", "-dev", "-peers", "")]
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        pins = [line for line in text.splitlines() if line and line[0].isalnum()]
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


def test_the_version_stands_in_one_place() -> None:
    """The package and the project agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert import_module("watchkeeper").__version__ == project["version"]


def test_no_two_test_files_have_one_name() -> None:
    """A folder without `__init__.py` gives its files no other name than their own."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if not (path.parent / "__init__.py").exists()]
    assert len(names) > 100
    assert [name for name, times in Counter(names).items() if times > 1 and name != "conftest.py"] == []
