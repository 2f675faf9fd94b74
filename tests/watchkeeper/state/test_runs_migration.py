"""Runs that were approved or under way before runs had rows of their own: each gets a definite end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from runbooks.run_rows import runs_of
from watchkeeper.state.database import Database, upgrade

PROPOSAL = {"runbook": "restart-service", "title": "t", "service": "cart", "steps": ["s"], "blast_radius": "b"}


@pytest.mark.parametrize(("before", "state"), [("approved", "approved"), ("running", "undoing"), ("done", None)])
def test_an_old_run_is_carried_over(tmp_path: Path, before: str, state: str | None) -> None:
    """Approved: it may begin. Running: it only ends, with what it had done, and touches nothing more."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = create_engine(url)
    body = {"id": "inc-1", "proposal_state": before, "proposal": PROPOSAL | {"undo": "u", "arguments": {}}}
    with engine.begin() as connection:
        upgrade(connection, "0003")
        values = {"body": json.dumps(body, separators=(",", ":"))}
        connection.execute(
            text("INSERT INTO incidents VALUES ('inc-1', 3, 'firing', 'paged', 1, 2, NULL, :body)"), values
        )
        connection.execute(
            text("INSERT INTO runbook_runs VALUES ('k:0:reroute', 'inc-1', 'r', 'reroute', 'done', 5, 'rerouted')")
        )
    engine.dispose()
    db = Database.open(url)
    found = runs_of(db, "inc-1")
    db.close()
    if state is None:
        assert found == ()
        return
    (run,) = found
    assert (run.state, run.proposal.service) == (state, "cart")
    if state == "undoing":
        assert [(step.state, step.detail) for step in run.steps] == [("kept", "rerouted"), ("kept", "")]
        assert "interrupted by an upgrade" in run.steps[-1].undone
