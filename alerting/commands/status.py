"""`watchkeeper status`: updates of incidents for colleagues and the public, and the public status page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alerting.commands import status_subscribers
from watchkeeper.command_options import AsJson, ConfigPath, IncidentId, Key, Who, actor_of, key_of
from watchkeeper.errors import ConfigError
from watchkeeper.text import prose, seen_name

if TYPE_CHECKING:  # what opens the database is imported when a command runs, so that help comes at once
    from alerting.status_page.updates import Content, StatusUpdate, StatusUpdates
    from watchkeeper.config import Config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(status_subscribers.app, name="subscribers", help="Who gets the public updates by e-mail.")

UpdateId = Annotated[str, typer.Argument(help="The update's id, such as upd-3f2a9c01de5b7788.")]
State = Annotated[str, typer.Option("--state", help="investigating, identified, monitoring, or resolved.")]
Impact = Annotated[str, typer.Option("--impact", help="none, degraded, or outage.")]
Components = Annotated[
    list[str] | None, typer.Option("--component", help="A component's id. Repeatable. Default: those of the incident.")
]
NamesToo = Annotated[
    bool, typer.Option("--names-too", help="Names of services and people may stand in the text. Secrets never may.")
]


@app.command(
    epilog='Example: watchkeeper status post inc-7f3a01 "Checkout is slow." --audience public --impact degraded'
)
def post(
    incident: IncidentId,
    text: Annotated[str, typer.Argument(help="What its readers need to know.")],
    config: ConfigPath = None,
    audience: Annotated[str, typer.Option("--audience", help="internal, or public.")] = "internal",
    state: State = "",
    impact: Impact = "",
    component: Components = None,
    names_too: NamesToo = False,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write an update. For the public you approve it by writing it. Exit status 4 if it has what must not leave."""
    from alerting.status_page.updates import AUDIENCES

    known = {name: name for name in AUDIENCES}
    if audience not in known:
        raise ConfigError(f"--audience {audience}: must be one of {', '.join(AUDIENCES)}")
    updates, _ = open_updates(config)
    content = _content(text, state, impact, component)
    _print(updates.post(incident, actor_of(who), key_of(key), known[audience], content, names_too=names_too), as_json)


@app.command(epilog="Example: watchkeeper status draft inc-7f3a01")
def draft(
    incident: IncidentId,
    config: ConfigPath = None,
    state: State = "",
    impact: Impact = "",
    component: Components = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Draft a short neutral update for the public. Nobody sees it before `approve`."""
    updates, _ = open_updates(config)
    _print(updates.draft(incident, actor_of(who), key_of(key), _content("", state, impact, component)), as_json)


@app.command(epilog="Example: watchkeeper status approve upd-3f2a9c01de5b7788")
def approve(
    update: UpdateId,
    config: ConfigPath = None,
    text: Annotated[str | None, typer.Option("--text", help="Another text in its place.")] = None,
    names_too: NamesToo = False,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Let the public read a draft. Exit status 4 if it has what must not leave."""
    _print(open_updates(config)[0].approve(update, actor_of(who), text, names_too=names_too), as_json)


@app.command(epilog="Example: watchkeeper status withdraw upd-3f2a9c01de5b7788")
def withdraw(update: UpdateId, config: ConfigPath = None, who: Who = None, as_json: AsJson = False) -> None:
    """Take an update from the public page; it is kept as a draft. Run `publish`, or let the watch role do it."""
    _print(open_updates(config)[0].withdraw(update, actor_of(who)), as_json)


@app.command("list", epilog="Example: watchkeeper status list --incident inc-7f3a01")
def list_updates(
    config: ConfigPath = None,
    incident: Annotated[str, typer.Option("--incident", help="Of one incident. Default: of all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Updates of every audience, newest first."""
    from alerting.status_page.shown import update_tree

    updates, _ = open_updates(config)
    rows = updates.list(incident)
    if as_json:
        print(json.dumps([update_tree(one) for one in rows], indent=2))
        return
    for one in rows:
        print(f"{one.at:%Y-%m-%d %H:%M}  {_line(one)}")
    if not rows:
        print("no status update yet")


@app.command(epilog="Example: watchkeeper status publish --to /var/www/status")
def publish(
    to: Annotated[Path | None, typer.Option("--to", help="The folder. Default: `status_page.dir`.")] = None,
    config: ConfigPath = None,
) -> None:
    """Write the public status page as static files. The watch role does so where `status_page.dir` is set."""
    from alerting.status_page.publication import publish as write
    from watchkeeper.clock import SystemClock

    updates, tree = open_updates(config)
    folder = to or tree.status_page.dir
    if folder is None:
        raise ConfigError("--to is missing, and the configuration has no `status_page.dir`; name a folder")
    if not tree.status_page.components:
        raise ConfigError("the status page has no component; add `status_page.components` to the configuration")
    page = write(updates, tree, folder, SystemClock().now())
    print(f"wrote index.html and status.json to {folder}: {len(page.incidents)} incidents of the last 90 days")


def open_updates(config_path: Path | None) -> tuple[StatusUpdates, Config]:
    """Status updates of the state database that a configuration names, and the configuration."""
    from alerting.oncall.in_force import open_in_force
    from alerting.status_page.updates import StatusUpdates
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load

    config = load(config_path)
    # No name may leak: also not that of somebody whom only the rota in force has.
    return StatusUpdates(open_in_force(config), SystemClock(), config), config


def _content(text: str, state: str, impact: str, components: list[str] | None) -> Content:
    from alerting.status_page.updates import IMPACTS, STATES, Content

    states, impacts = {name: name for name in STATES}, {name: name for name in IMPACTS}
    if state and state not in states:
        raise ConfigError(f"--state {state}: must be one of {', '.join(STATES)}")
    if impact and impact not in impacts:
        raise ConfigError(f"--impact {impact}: must be one of {', '.join(IMPACTS)}")
    return Content(
        text=text,
        state=states[state] if state else None,
        impact=impacts[impact] if impact else None,
        components=tuple(dict.fromkeys(components or ())),
    )


def _print(update: StatusUpdate, as_json: bool) -> None:
    from alerting.status_page.shown import update_tree

    if as_json:
        tree: dict[str, Any] = update_tree(update)
        print(json.dumps(tree, indent=2))
        return
    print(_line(update))
    if update.audience == "public" and not update.is_public:
        print(f"  nobody sees it yet: watchkeeper status approve {update.id}")


def _line(update: StatusUpdate) -> str:
    shown = {"internal": "internal", "public": "public" if update.is_public else "draft"}[update.audience]
    parts = ", ".join(map(seen_name, update.components)) or "no component"
    return f"{update.id}  {shown:<8} {update.state}, {update.impact} ({parts}): {prose(update.text, 2400)}"
