"""`watchkeeper oncall feed`: addresses to which calendars subscribe, for a schedule or a person, each revocable."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from alerting.commands.oncall_opened import opened
from alerting.oncall import feeds
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, actor_of
from watchkeeper.config import load
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.text import seen_name

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command(epilog="Example: watchkeeper oncall feed new --person ana")
def new(
    config: ConfigPath = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="The schedule that it shows.")] = None,
    person: Annotated[str | None, typer.Option("--person", help="The person whose shifts it shows.")] = None,
) -> None:
    """Make an address for one schedule, or for one person's shifts in all schedules. It is printed once."""
    if (schedule is None) == (person is None):
        raise ConfigError("name one of --schedule and --person")
    tree, db = opened(config)
    kind: feeds.Kind = "schedule" if schedule else "person"
    actor, now = actor_of(), SystemClock().now()
    feed_id, secret = feeds.make_feed(db, tree.oncall, kind, schedule or person or "", now, actor)
    print(f"{tree.web_url}/calendar/{secret}.ics")
    print(f"Whoever has this address can read it. To end it: watchkeeper oncall feed revoke {feed_id}")


@app.command("list", epilog="Example: watchkeeper oncall feed list --json")
def listed(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The addresses that were made, without their secrets."""
    rows = feeds.feeds(Database.open(load(config)))
    if as_json:
        values = [
            {
                "id": each.id,
                "kind": each.kind,
                "subject": each.subject,
                "made_at": each.made_at.isoformat(),
                "made_by": each.made_by,
                "revoked_at": each.revoked_at.isoformat() if each.revoked_at else None,
            }
            for each in rows
        ]
        print(json.dumps(values, indent=2))
        return
    for each in rows:
        state = f"revoked {each.revoked_at:%Y-%m-%d %H:%M} UTC" if each.revoked_at else "in use"
        made = f"made {each.made_at:%Y-%m-%d} by {seen_name(each.made_by)}"
        print(f"{each.id}  {each.kind} {seen_name(each.subject)}  {made}  {state}")
    if not rows:
        print("No feed. `watchkeeper oncall feed new --schedule ID` makes one.")


@app.command(epilog="Example: watchkeeper oncall feed revoke 5f0c21aa")
def revoke(
    feed: Annotated[str, typer.Argument(help="The feed's id, from `oncall feed list`.")], config: ConfigPath = None
) -> None:
    """End an address. Calendars that subscribe to it get an error from now on."""
    actor = actor_of()
    feeds.revoke_feed(Database.open(load(config)), feed, SystemClock().now(), actor)
    print(f"{feed}: revoked")
