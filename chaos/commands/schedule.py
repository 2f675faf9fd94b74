"""`watchkeeper chaos schedule` and `approve`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath, user_name


def schedule(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the experiments that run by themselves: when each runs next, and what became of its last times."""
    from chaos.schedules.rows import DueRuns
    from chaos.schedules.schedule import next_time, schedules
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    tree, now = load(config), SystemClock().now()
    known, mistakes = schedules(tree)
    runs = DueRuns(Database.open(tree))
    past = runs.history()
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "file": str(each.file),
            "cron": each.rule.cron,
            "timezone": each.rule.timezone,
            "next": next_time(each.rule, now),
            "approved_by": [approval.person for approval in runs.approvals(each.id)],
            "approvals": each.rule.approval.count if each.rule.approval else 0,
        }
        for each in known
    ]
    if as_json:
        tried = [{"id": run.schedule, "due_at": run.due_at, "state": run.state, "detail": run.detail} for run in past]
        print(json.dumps({"schedules": rows, "mistakes": mistakes, "history": tried}, indent=2, default=_as_text))
        return
    for row in rows:
        at = f"{row['next']:%Y-%m-%d %H:%M} UTC" if row["next"] else "not within a year"
        approvals = f"; approvals: {len(row['approved_by'])} of {row['approvals']}" if row["approvals"] else ""
        print(f"{row['id']}: next {at} ({row['cron']} in {row['timezone']}){approvals}")
    for why in mistakes.values():
        print(f"! {why}")
    if past:
        print("\nLast times:")
    for run in past:
        print(f"  {run.due_at:%Y-%m-%d %H:%M}  {run.state:9}  {run.schedule}{f': {run.detail}' if run.detail else ''}")
    if not rows and not mistakes:
        print("No experiment is scheduled: see chaos.experiments in docs/configuration.md.")


def approve(
    name: Annotated[str, typer.Argument(metavar="ID", help="One of `watchkeeper chaos schedule`.")],
    person: Annotated[
        str | None, typer.Option("--as", help="The id of the person who approves; default: the login name.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Approve the next run of a scheduled experiment, as its file is now. A changed file needs a new approval."""
    from chaos.schedules.rows import Approval, DueRuns, standing
    from chaos.schedules.schedule import schedule_named
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import ChaosError
    from watchkeeper.state.database import Database
    from watchkeeper.vocabulary import Actor

    tree, user = load(config), user_name()
    found = schedule_named(tree, name)
    approval = found.rule.approval
    if approval is None:
        raise ChaosError(f"{name} needs no approval")
    who = person or user
    if who not in approval.by:
        raise ChaosError(f"{who} does not approve {name}; --as names one of: {', '.join(approval.by)}")
    experiment, now = found.read(), SystemClock().now()
    runs = DueRuns(Database.open(tree))
    runs.approve(name, Approval(person=who, at=now, digest=experiment.digest), Actor(name=user, via="cli"))
    given = standing(runs.approvals(name), approval.by, experiment.digest, approval.stands_hours, now)
    print(f"{experiment.title}: {len(given)} of {approval.count} approvals, for {approval.stands_hours:g} hours")


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
