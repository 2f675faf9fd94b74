"""Tests that share what is started once run on one worker: an upgrade can end that without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GROUP = """
import os, pytest
pytestmark = pytest.mark.xdist_group("together")

@pytest.mark.parametrize("number", range(8))
def test_where(number):
    with open("workers", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_a_group_stays_on_one_worker(tmp_path: Path) -> None:
    """Eight tests, two workers."""
    (tmp_path / "test_group.py").write_text(GROUP)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:randomly"]
    command += ["-W", "ignore", "--basetemp", str(tmp_path / "own")]  # the default closes the folder of this very run
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    workers = (tmp_path / "workers").read_text().split()
    assert (len(workers), len(set(workers))) == (8, 1), workers
