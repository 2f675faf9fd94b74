"""The measurement itself: a short run adds up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.xdist_group("exactly-once")
def test_a_short_run_adds_up() -> None:
    """Two seconds at a low rate: everything acked is stored, and every number is there."""
    command = [sys.executable, "-m", "watchkeeper.cli.main", "bench", "ingest", "--seconds", "2", "--rate", "5000"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["stored_exactly"]
    assert (result["refused"], result["spans"] >= 5000) == (0, True)
    assert all(result[key] > 0 for key in ("ack_p99_ms", "store_rss_mb", "store_cpu_s", "bare_spans_per_s"))
