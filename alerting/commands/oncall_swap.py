"""`watchkeeper oncall swap`: ask somebody to take a shift, and answer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from alerting.commands.oncall_opened import opened
from alerting.commands.oncall_times import span_of
from alerting.oncall import swaps
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, actor_of
from watchkeeper.config import load
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

SwapId = Annotated[str, typer.Argument(help="The swap's id, from `oncall swap list`.")]


@app.command(epilog="Example: watchkeeper oncall swap ask ana ben --from 2026-03-02T09:00 --to 2026-03-03T09:00")
def ask(
    asker: Annotated[str, typer.Argument(help="Whose shift it is: an id from oncall.people.")],
    taker: Annotated[str, typer.Argument(help="Who is asked to take it.")],
    start: Annotated[str, typer.Option("--from", help="An ISO time; without a zone it is UTC.")],
    end: Annotated[str, typer.Option("--to", help="An ISO time; without a zone it is UTC.")],
    config: ConfigPath = None,
    return_start: Annotated[
        str | None, typer.Option("--return-from", help="The taker's shift that is taken in return.")
    ] = None,
    return_end: Annotated[str | None, typer.Option("--return-to", help="Its end.")] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="The schedule's id. Default: the first one.")
    ] = None,
) -> None:
    """Ask somebody to take a shift, or to swap it for one of theirs. Nothing changes before they accept."""
    tree, db = opened(config)
    if (return_start is None) != (return_end is None):
        raise ConfigError("--return-from and --return-to belong together; add the other one")
    if schedule is None and not tree.oncall.schedules:
        raise ConfigError("oncall.schedules is empty; add a schedule")
    returned = (
        span_of(return_start, return_end, "--return-from and --return-to") if return_start and return_end else None
    )
    swap = swaps.Swap(
        schedule=schedule or tree.oncall.schedules[0].id,
        asker=asker,
        taker=taker,
        window=span_of(start, end, "--from and --to"),
        returned=returned,
    )
    actor = actor_of()
    swap_id = swaps.ask(db, tree.oncall, swap, SystemClock().now(), actor)
    print(f"{swap_id}: {seen_name(taker)} is asked; nothing changes before `watchkeeper oncall swap accept {swap_id}`")


@app.command("list", epilog="Example: watchkeeper oncall swap list --json")
def listed(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Swaps, newest first."""
    rows = swaps.swaps(Database.open(load(config)))
    if as_json:
        print(json.dumps([swaps.shown(each) for each in rows], indent=2))
        return
    for each in rows:
        back = f", in return for {_span(each.returned)}" if each.returned else ""
        answered = f" by {seen_name(each.answered_by)}" if each.answered_by else ""
        who = f"{seen_name(each.taker)} for {seen_name(each.asker)} in {seen_name(each.schedule)}"
        print(f"{each.id}  {who}, {_span(each.window)}{back}  {each.state}{answered}")
    if not rows:
        print("No swap.")


@app.command(epilog="Example: watchkeeper oncall swap accept 5f0c21aa")
def accept(swap: SwapId, config: ConfigPath = None) -> None:
    """Take the shift that was asked: it is in force at once."""
    _answer(swap, "accepted", config)


@app.command(epilog="Example: watchkeeper oncall swap decline 5f0c21aa")
def decline(swap: SwapId, config: ConfigPath = None) -> None:
    """Decline what was asked."""
    _answer(swap, "declined", config)


@app.command(epilog="Example: watchkeeper oncall swap cancel 5f0c21aa")
def cancel(swap: SwapId, config: ConfigPath = None) -> None:
    """Take back what you asked, before it is answered."""
    _answer(swap, "cancelled", config)


def _answer(swap: str, given: swaps.Answer, config: ConfigPath) -> None:
    tree, db = opened(config)
    actor = actor_of()
    done = swaps.answer(db, tree.oncall, swap, given, SystemClock().now(), actor)
    print(f"{done.id}: {done.state}; {seen_name(done.taker)} for {seen_name(done.asker)}, {_span(done.window)}")


def _span(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
