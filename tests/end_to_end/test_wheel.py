"""An installation from the wheel alone: what it holds, and what it says of what is not in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.installed import ROOT, Installation, build_wheel

PACKAGES = ("watchkeeper", "collectors", "detectors", "rca", "alerting", "dashboard", "runbooks", "chaos", "agent")

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Watchkeeper's wheel."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Watchkeeper's wheel in a fresh environment."""
    return Installation.of(tmp_path_factory.mktemp("installed"), wheel)


def test_the_wheel_holds_exactly_the_spine_and_the_rooms(wheel: Path) -> None:
    """These names, and no other, at the top level."""
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == set(PACKAGES)


def test_its_code_comes_from_the_wheel(installation: Installation) -> None:
    """Else the other tests here would look at this repository."""
    where = installation.run_python("-c", "import watchkeeper, chaos; print(watchkeeper.__file__, chaos.__file__)")
    assert all(str(installation.environment) in path for path in where.stdout.split())


def test_a_benchmark_says_that_it_needs_a_clone(installation: Installation) -> None:
    """One line and exit status 1, no traceback."""
    done = installation.run("bench", "ingest", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "watchkeeper: `watchkeeper bench` is for developers and not installed: run it in a clone, after `make dev`"
    ]


def test_its_built_in_parts_are_all_there(installation: Installation) -> None:
    """Every part of the repository's pyproject.toml is in the wheel, and loads."""
    listed = json.loads(installation.run("parts", "--json", "--check").stdout)
    assert listed
    assert {part["origin"] for part in listed} == {"watchkeeper 0.1.0"}
