"""`watchkeeper audit`: who changed what, and whether anybody changed the record of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.config import load
from watchkeeper.state.audit import audit_trail, verify_audit
from watchkeeper.state.database import Database
from watchkeeper.text import one_line, seen_name
from watchkeeper.text_columns import print_columns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("list", epilog="Example: watchkeeper audit list --limit 20 --json")
def list_entries(
    config: ConfigPath = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What people changed outside of incidents, newest first."""
    entries = audit_trail(Database.open(load(config)), limit)
    if as_json:
        rows = [
            {
                "at": entry.at.isoformat(),
                "actor": entry.actor.name,
                "via": entry.actor.via,
                "action": entry.action,
                "subject": entry.subject,
                "detail": entry.detail,
                "digest": entry.digest,
            }
            for entry in entries
        ]
        print(json.dumps(rows, indent=2))
    elif not entries:
        print("The audit trail is empty.")
    else:
        print_columns(
            ("At (UTC)", "Who", "Via", "Action", "Subject", "Detail"),
            [
                (
                    f"{entry.at:%Y-%m-%d %H:%M:%S}",
                    seen_name(entry.actor.name, 40),
                    entry.actor.via,
                    one_line(entry.action, 40),
                    one_line(entry.subject, 60),
                    one_line(entry.detail, 200) if entry.detail else "",
                )
                for entry in entries
            ],
        )


@app.command(epilog="Example: watchkeeper audit verify --known 5f1c…")
def verify(
    config: ConfigPath = None,
    known: Annotated[
        str, typer.Option("--known", help="A digest that an earlier `verify` printed: it must still be there.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed, removed or put in between. Exit status 1 if one was.

    Keep the digest that it prints where whoever can write the database cannot: with `--known`, it also finds entries
    that were removed at the end, and a trail that was made anew.
    """
    verified = verify_audit(Database.open(load(config)), known.strip().lower())
    if as_json:
        print(json.dumps({"entries": verified.entries, "digest": verified.digest}))
    else:
        print(f"{verified.entries} entries, none changed. The last digest is {verified.digest}")
