"""An installation from the wheel alone: what it holds, and what it says of what is not in it."""

from __future__ import annotations

import json

import pytest

from tests.installed import ROOT, Installation, build_wheel

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Watchkeeper's wheel in a fresh environment."""
    folder = tmp_path_factory.mktemp("installed")
    return Installation.of(folder, build_wheel(ROOT, folder))


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
