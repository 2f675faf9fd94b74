"""`watchkeeper chaos schedule`, `approve`, `refuse` and `postpone`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath, actor_of, user_name

if TYPE_CHECKING:
    from chaos.schedules.decisions import Decisions
    from watchkeeper.vocabulary import Actor

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="One of `watchkeeper chaos schedule`.")]
Person = Annotated[str | None, typer.Option("--as", help="The id of the person who decides; default: the login name.")]


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
        tried = [
            {"id": run.schedule, "due_at": run.due_at, "state": run.state, "detail": run.detail}
            | ({"approved_by": run.approved_by.split(", ")} if run.approved_by else {})
            for run in past
        ]
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
        by = f"; approved by {run.approved_by}" if run.approved_by else ""
        detail = f": {run.detail}" if run.detail else ""
        print(f"  {run.due_at:%Y-%m-%d %H:%M}  {run.state:9}  {run.schedule}{detail}{by}")
    if not rows and not mistakes:
        print("No experiment is scheduled: see chaos.experiments in docs/configuration.md.")


def refuse(name: ScheduleId, person: Person = None, config: ConfigPath = None) -> None:
    """Refuse the next run of a scheduled experiment: it does not run at that time. Who may approve it may refuse it."""
    _decide(name, person, config, lambda decisions, run, seen, actor: decisions.refuse(run, seen, actor))


def postpone(
    name: ScheduleId,
    to: Annotated[str, typer.Option(help="The later time, such as 2026-12-01T14:30+01:00; without a zone, UTC.")],
    person: Person = None,
    config: ConfigPath = None,
) -> None:
    """Postpone the next run of a scheduled experiment. Who may approve it may postpone it."""
    from watchkeeper.errors import ChaosError

    try:
        wanted = datetime.fromisoformat(to)
    except ValueError as error:
        raise ChaosError(f"--to takes a time such as 2026-12-01T14:30+01:00, not {to!r}") from error
    later = wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted.astimezone(UTC)
    _decide(name, person, config, lambda decisions, run, _seen, actor: decisions.postpone(run, later, actor))


def _decide(
    name: str, person: str | None, config: Path | None, decide: Callable[[Decisions, str, str, Actor], str]
) -> None:
    """Decide about the first run of a schedule that waits."""
    from chaos.schedules.decisions import Decisions
    from chaos.schedules.rows import DueRuns
    from chaos.schedules.schedule import schedule_named
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import ChaosError
    from watchkeeper.state.database import Database

    tree = load(config)
    found, db = schedule_named(tree, name), Database.open(tree)
    waiting = next((run for run in DueRuns(db).open() if run.schedule == name and run.state == "waiting"), None)
    if waiting is None:
        raise ChaosError(f"no run of {name} waits for a decision now: `watchkeeper chaos schedule` lists what comes")
    actor = actor_of(person)
    text = decide(Decisions(tree, db, SystemClock()), waiting.token, found.read().digest, actor)
    print(f"{name} of {waiting.due_at:%Y-%m-%d %H:%M} UTC: {text}")


def approve(
    name: ScheduleId,
    person: Person = None,
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
