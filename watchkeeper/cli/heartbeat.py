"""`watchkeeper heartbeat`: which systems must show that they are alive, and when each did last."""

from __future__ import annotations

import json

import typer

from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.config import load
from watchkeeper.durations import duration
from watchkeeper.state.database import Database
from watchkeeper.state.heartbeats import read_heartbeats
from watchkeeper.text_columns import print_columns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Heartbeats of other systems."""


@app.command("list", epilog="Example: watchkeeper heartbeat list --json")
def list_heartbeats(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The heartbeats of the configuration, and when each was heard last."""
    tree, now = load(config), SystemClock().now()
    known = read_heartbeats(Database.open(tree), tree.heartbeats, now)
    if as_json:
        rows = [
            {
                "name": one.name,
                "heard_at": one.heard_at.isoformat() if one.heard_at else None,
                "missed_at": one.missed_at.isoformat(),
                "missed": now >= one.missed_at,
            }
            for one in known
        ]
        print(json.dumps(rows, indent=2))
    elif not known:
        print("No heartbeat is configured: add `heartbeats:` to the configuration.")
    else:
        table = []
        for one in known:
            heard = f"{one.heard_at:%Y-%m-%d %H:%M:%S}" if one.heard_at else "never"
            state = "missed" if now >= one.missed_at else f"due within {duration(one.missed_at - now)}"
            table.append((one.name, heard, state))
        print_columns(("Heartbeat", "Last heard (UTC)", "State"), table)
