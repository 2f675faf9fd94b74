"""`watchkeeper alerts`: what other systems' rules raised, and the end of one that its sender forgot."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, actor_of
from watchkeeper.config import load
from watchkeeper.state.alerts import AlertState, all_alerts, end_alert
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.text import one_line
from watchkeeper.text_columns import print_columns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("list", epilog="Example: watchkeeper alerts list --all --json")
def list_alerts(
    config: ConfigPath = None,
    ended: Annotated[bool, typer.Option("--all", help="Also those that ended in the last days.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Alerts from outside that fire now, those heard of last first."""
    now = SystemClock().now()
    known = all_alerts(Database.open(load(config)), limit, firing_at=None if ended else now)
    if as_json:
        print(json.dumps([_facts(alert, now) for alert in known], indent=2))
        return
    if not known:
        print("No alert from outside." if ended else "No alert from outside fires.")
        return
    rows = []
    for alert in known:
        facts = _facts(alert, now)
        first, heard = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (alert.first_at, alert.heard_at))
        service, what = one_line(facts["service"], 60), one_line(facts["summary"], 200)
        rows.append((alert.key, facts["state"], first, heard, service, what))
    print_columns(("Key", "State", "First heard (UTC)", "Last heard (UTC)", "Service", "What"), rows)


@app.command(epilog="Example: watchkeeper alerts end 0f3a9c2b7d1e4a55")
def end(
    key: Annotated[str, typer.Argument(help="The alert's key, as `watchkeeper alerts list` shows it.")],
    config: ConfigPath = None,
    who: Annotated[str | None, typer.Option("--as", help="Your name. Default: the user of this terminal.")] = None,
) -> None:
    """End an alert whose sender never resolved it. If the sender repeats it later, it fires again."""
    db, now = Database.open(load(config)), SystemClock().now()
    actor = actor_of(who)
    if end_alert(db, key, now, actor.name):
        with db.write() as connection:
            record_audit(connection, now, actor, "alert.end", key)
        print(f"{key} ended.")
    else:
        print(f"{key} had ended before.")


def _facts(alert: AlertState, now: datetime) -> dict[str, Any]:
    """What a script may want to know of an alert."""
    if alert.ended_at:
        state = f"ended by {one_line(alert.ended_by or 'somebody', 60)}"
    elif alert.until <= now:
        state = "ended: not repeated"
    else:
        state = "firing"
    return {
        "key": alert.key,
        "state": state if alert.finding else f"{state}, unreadable",
        "service": alert.finding.service if alert.finding else "unknown",
        "summary": alert.finding.summary if alert.finding else "the row cannot be read, so it pages nobody",
        "first_heard": alert.first_at.isoformat(),
        "last_heard": alert.heard_at.isoformat(),
        "until": alert.until.isoformat(),
        "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
    }
