"""Reads from the state database which runs happened while a fault of an experiment held, and what came of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from runbooks.proof import Proof, ProvenRun, counts, repaired_s
from runbooks.run_rows import Run, recent_runs
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import experiments, incidents

MOST_RUNS = 2000


def proofs(db: Database, since: datetime) -> Mapping[str, Proof]:
    """By runbook, what experiments have shown since a time. A runbook that none tested is not among them."""
    runs = [run for run in recent_runs(db, MOST_RUNS, since) if run.incident_id and run.state in ("done", "failed")]
    if not runs:
        return {}
    faults = _faults(db, since)
    recovered = _recovered(db, {run.incident_id for run in runs})
    proven: dict[str, list[ProvenRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.approved_at):
        if shown := _shown(run, faults.get(run.proposal.service, ()), recovered.get(run.incident_id)):
            proven[run.proposal.runbook].append(shown)
    return {runbook: Proof(runs=tuple(shown)) for runbook, shown in proven.items()}


def _shown(run: Run, faults: Any, recovered: datetime | None) -> ProvenRun | None:
    """What a run says about the fault that held meanwhile."""
    if run.started_at is None or run.ended_at is None:
        return None
    for fault, began, ended in faults:
        if counts(run.started_at, run.ended_at, began, ended):
            took_s = repaired_s(
                succeeded=run.state == "done", started=run.started_at, recovered=recovered, fault_ended=ended
            )
            return ProvenRun(service=run.proposal.service, fault=fault, at=run.started_at, recovered_s=took_s)
    return None


def _faults(db: Database, since: datetime) -> Mapping[str, list[tuple[str, datetime, datetime]]]:
    """By service, the faults that took effect, each with its begin and end."""
    query = select(experiments.c.began, experiments.c.ended, experiments.c.body).where(
        experiments.c.ended >= to_micros(since)
    )
    faults: dict[str, list[tuple[str, datetime, datetime]]] = defaultdict(list)
    with db.read() as connection:
        for began, ended, body in connection.execute(query.order_by(experiments.c.began)):
            try:
                tree = json.loads(body)
            except ValueError:  # written by another version
                continue
            if tree.get("fault") and tree.get("service") and tree.get("took_effect"):
                faults[tree["service"]].append((tree["fault"], from_micros(began), from_micros(ended)))
    return faults


def _recovered(db: Database, ids: set[str]) -> Mapping[str, datetime]:
    """When each incident recovered for good, of those that did."""
    times: dict[str, datetime] = {}
    with db.read() as connection:
        for incident_id in ids:
            body = connection.scalar(select(incidents.c.body).where(incidents.c.id == incident_id))
            at = json.loads(body).get("recovered_at") if body else None
            if at:
                times[incident_id] = datetime.fromisoformat(at)
    return times
