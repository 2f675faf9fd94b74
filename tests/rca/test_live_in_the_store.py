"""The live path's queries against the store role itself: its schema, its roll-ups, its reader."""

from __future__ import annotations

from bench import rca_live


def test_the_culprit_is_first_among_fifty_services_in_the_real_store() -> None:
    """Spans, edges that are some seconds behind, metrics and log lines are read as in production."""
    (row,) = rca_live.rows(60_000, rounds=2)
    assert row["culprit first"] == "yes"
