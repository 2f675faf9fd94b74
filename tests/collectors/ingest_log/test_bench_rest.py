"""`watchkeeper bench rest` on a short run: each role is measured, and its own load arrives whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.rest import measure

pytestmark = pytest.mark.slow


def test_a_short_run_measures_each_role(tmp_path: Path) -> None:
    """No limit on the cost here: that depends on the machine. Two roles are enough."""
    result = measure(tmp_path, rate=120, seconds=6, warm_up_s=3, roles=("store", "ingest"))
    assert set(result.roles) == {"store", "ingest"}
    assert all(cost.rss_mb > cost.pss_mb > 10 for cost in result.roles.values())
    assert result.spans_lost == 0
    assert result.inserts_per_s > 0
    assert result.reads_per_s > 0
    assert 0 < result.cpu < 2
    assert result.visible_after_s < 60
