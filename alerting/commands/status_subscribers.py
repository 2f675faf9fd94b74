"""`watchkeeper status subscribers`: who gets the public updates by e-mail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line

if TYPE_CHECKING:  # what opens the database is imported when a command runs, so that help comes at once
    from alerting.status_page.subscribers import Subscriber, Subscribers

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("list", epilog="Example: watchkeeper status subscribers list --json")
def listed(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Everybody who asked, with the state: pending, confirmed, or set aside with the reason."""
    rows = _opened(config).list()
    if as_json:
        print(json.dumps([_tree(one) for one in rows], indent=2))
        return
    for one in rows:
        reason = f"  {one_line(one.reason, 160)}" if one.reason else ""
        print(f"{one.id}  {one.state:<9}  {one.address}  ({', '.join(one.components) or 'every component'}){reason}")
    if not rows:
        print("nobody yet")


@app.command(epilog="Example: watchkeeper status subscribers add ana@example.com --component checkout")
def add(
    address: Annotated[str, typer.Argument(help="The e-mail address.")],
    config: ConfigPath = None,
    component: Annotated[
        list[str] | None, typer.Option("--component", help="A component's id. Repeatable. Default: every one.")
    ] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="They agreed already: send updates without asking them to confirm.")
    ] = False,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Subscribe an address. It gets one e-mail with a link, and updates after it has confirmed."""
    one = _opened(config).add(address, component or (), actor_of(who), confirmed=confirmed)
    if as_json:
        print(json.dumps(_tree(one), indent=2))
        return
    print(f"{one.id}  {one.state}" + ("" if confirmed else ": an e-mail asks them to confirm"))


@app.command(epilog="Example: watchkeeper status subscribers remove ana@example.com")
def remove(
    name: Annotated[str, typer.Argument(help="The address, or the id.")], config: ConfigPath = None, who: Who = None
) -> None:
    """Erase a subscriber, and what waits for them."""
    print(f"erased {_opened(config).remove(name, actor_of(who))}")


def _opened(config_path: Path | None) -> Subscribers:
    from alerting.status_page.subscribers import Subscribers
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    config = load(config_path)
    if config.status_page.subscriptions.channel is None:
        raise ConfigError("nobody can subscribe: set `status_page.subscriptions.channel` to an e-mail channel")
    return Subscribers(Database.open(config), SystemClock(), config)


def _tree(one: Subscriber) -> dict[str, Any]:
    return {
        "id": one.id,
        "address": one.address,
        "state": one.state,
        "components": list(one.components),
        "asked_at": one.asked_at.isoformat(),
        "confirmed_at": one.confirmed_at.isoformat() if one.confirmed_at else None,
        "reason": one.reason,
    }
