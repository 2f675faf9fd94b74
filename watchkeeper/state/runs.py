"""Runs of approved runbooks, as the transactions of incidents write them: approved, begun, ended, cancelled.

A run is written by the transaction that approves it, and keeps the proposal as the human saw it. `runbooks.run_rows`
has the rest: who works on it, and how far each step is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection, insert, update

from watchkeeper.state.audit import record_audit
from watchkeeper.state.codec import dump
from watchkeeper.state.database import to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import run_answers, run_steps, runs
from watchkeeper.vocabulary import Actor, Proposal, Question

RunState = Literal["approved", "running", "undoing", "done", "failed", "cancelled"]
UNFINISHED: Final = ("approved", "running", "undoing")


def add_run(
    connection: Connection,
    run_id: str,
    incident_id: str,
    proposal: Proposal,
    at: datetime,
    *,
    approved_by: str = "",
    autonomous: bool = False,
) -> None:
    """Keep what was approved, and that each of its steps is planned. The same id again changes nothing.

    `incident_id` is empty for a run outside an incident; `autonomous`: the policy approved it, and no human.
    """
    row = {
        "id": run_id,
        "incident_id": incident_id,
        "state": "approved",
        "body": dump(proposal),
        "owner": "",
        "leased_until": 0,
        "approved_at": to_micros(at),
        "text": "",
        "approved_by": approved_by,
        "autonomous": int(autonomous),
    }
    if insert_new(connection, runs, row):
        plan_steps(connection, run_id, proposal.actions, at)


def plan_steps(connection: Connection, run_id: str, names: Sequence[str], at: datetime) -> None:
    """The steps that a run will take, in order."""
    for number, name in enumerate(names):
        step = {"run_id": run_id, "number": number, "name": name, "state": "planned", "at": to_micros(at)}
        connection.execute(insert(run_steps).values(**step, detail="", undone=""))


def begin_run(connection: Connection, run_id: str, at: datetime) -> None:
    """An approved run begins."""
    own = (runs.c.id == run_id) & (runs.c.state == "approved")
    connection.execute(update(runs).where(own).values(state="running", started_at=to_micros(at)))


def end_run(connection: Connection, run_id: str, state: RunState, text: str, at: datetime) -> None:
    """A run is over; one that is over already keeps its end."""
    own = (runs.c.id == run_id) & runs.c.state.in_(UNFINISHED)
    connection.execute(update(runs).where(own).values(state=state, text=text, ended_at=to_micros(at), leased_until=0))


def keep_answer(connection: Connection, question: Question, answer: str, actor: Actor, at: datetime) -> bool:
    """Keep the one answer to a question, and let its run go on at once. False: it has its answer already.

    An empty answer ends the question without one.
    """
    row = {"run_id": question.run, "number": question.step, "asked": question.asked, "answer": answer}
    if not insert_new(connection, run_answers, row | {"actor": actor.name, "via": actor.via, "at": to_micros(at)}):
        return False
    if actor.via != "system":
        record_audit(connection, at, actor, "runbook.answer", question.run, f"{question.text}: {answer}")
    # Whoever parked it waits for this: it is free at once, unless somebody works on it this moment.
    parked = (runs.c.id == question.run) & (runs.c.owner == "")
    connection.execute(update(runs).where(parked).values(leased_until=0))
    return True


def cancel_waiting(connection: Connection, incident_id: str, text: str, at: datetime) -> None:
    """What was approved for an incident and has not begun never will."""
    own = (runs.c.incident_id == incident_id) & (runs.c.state == "approved")
    values = {"state": "cancelled", "text": text, "ended_at": to_micros(at), "leased_until": 0}
    connection.execute(update(runs).where(own).values(**values))
