"""`watchkeeper silence`: suppress pages for a while, by service, kind or label."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from alerting.commands.incident import open_incidents
from alerting.commands.incident_handover import span_of
from alerting.incidents import silences
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of, hint_at_unused_file
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.text import one_line, prose, seen_name
from watchkeeper.text_columns import print_columns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command(epilog='Example: watchkeeper silence add --service "shop-*" --for 2h --reason "database move"')
def add(
    how_long: Annotated[str, typer.Option("--for", help="How long, such as 30m, 2h or 1d.")],
    reason: Annotated[str, typer.Option("--reason", help="Why: whoever is on call next reads it.")],
    config: ConfigPath = None,
    service: Annotated[str, typer.Option("--service", help="A service; `*` stands for anything.")] = "",
    kind: Annotated[str, typer.Option("--kind", help=f"One of {', '.join(silences.KINDS)}.")] = "",
    label: Annotated[str, typer.Option("--label", help="A label of alerts from outside: name=value.")] = "",
    who: Who = None,
) -> None:
    """Suppress the pages of what matches. Acknowledgements and resolves pass; what still fires at the end pages."""
    hint_at_unused_file(config)
    now, owner = SystemClock().now(), actor_of(who)
    silence = silences.new_silence(
        service=service, kind=kind, label=label, reason=reason, start=now, end=now + span_of(how_long), owner=owner
    )
    silences.add_silence(Database.open(load(config)), silence, owner, now)
    print(f"{silence.id}: {silence.described}, until {silence.end:%Y-%m-%d %H:%M} UTC")
    for burn in silences.hidden_burns(silence, open_incidents(config).list("open", 500)):
        print(f"note: it keeps a burn of an objective's budget from paging: {prose(burn)}")


@app.command("list", epilog="Example: watchkeeper silence list --all --json")
def list_silences(
    config: ConfigPath = None,
    ended: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Silences, those that end first before the others."""
    now = SystemClock().now()
    known = silences.list_silences(Database.open(load(config)), now, ended=ended)
    if as_json:
        print(json.dumps([silences.facts(silence) for silence in known], indent=2))
    elif not known:
        print("No silence.")
    else:
        rows = [
            (
                one.id,
                silences.left(one, now),
                one_line(one.described, 80),
                seen_name(one.owner),
                one_line(one.reason, 200),
            )
            for one in known
        ]
        print_columns(("Silence", "When", "Matches", "Owner", "Reason"), rows)
        incidents = open_incidents(config).list("open", 500)
        for burn in dict.fromkeys(burn for one in known for burn in silences.hidden_burns(one, incidents)):
            print(f"note: no page for a burn of an objective's budget: {prose(burn)}")


@app.command(epilog="Example: watchkeeper silence end sil-1f2e3d4c")
def end(
    silence: Annotated[str, typer.Argument(help="The silence's id, from `silence list`.")],
    config: ConfigPath = None,
    who: Who = None,
) -> None:
    """End a silence now. What it suppressed and still fires pages at once."""
    ended = silences.end_silence(Database.open(load(config)), silence, actor_of(who), SystemClock().now())
    print(f"{ended.id}: ended")
