"""`watchkeeper postmortem`: what happened, what people make of it, and what somebody does about it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath, IncidentId, Key, Who, actor_of, key_of
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.text import page_text, prose, seen_name

if TYPE_CHECKING:  # what opens the database is imported when a command runs, so that help comes at once
    from alerting.postmortems.actions import Action, ActionOutcome, Actions
    from alerting.postmortems.editing import Postmortems, Saved

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

ActionId = Annotated[str, typer.Argument(help="The action item's id, such as act-3f2a9c01de.")]
Seen = Annotated[int | None, typer.Option("--revision", help="The revision that you looked at, as `show` prints it.")]
Owner = Annotated[str, typer.Option("--owner", help="A person's id or name.")]
Due = Annotated[str, typer.Option("--due", help="A date, such as 2026-03-31. The owner is reminded that day.")]


@app.command(epilog="Example: watchkeeper postmortem new inc-7f3a01 > postmortem.md")
def new(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Draft a postmortem, or its recorded facts anew. Resolving a page drafts one too; what people wrote stays."""
    postmortems = open_postmortems(config)[0]
    postmortems.begin(incident)
    _print(postmortems, incident, as_json)


@app.command(epilog="Example: watchkeeper postmortem show inc-7f3a01")
def show(
    incident: IncidentId,
    config: ConfigPath = None,
    html: Annotated[bool, typer.Option("--html", help="Print one HTML file.")] = False,
    published: Annotated[bool, typer.Option("--published", help="What was published, and not what is new.")] = False,
    as_json: AsJson = False,
) -> None:
    """The postmortem as it stands, as Markdown. Exit status 3 if there is none."""
    postmortems = open_postmortems(config)[0]
    if not (html or published):
        _print(postmortems, incident, as_json)
        return
    from alerting.postmortems.rendering import to_html, to_markdown

    stored = postmortems.get(incident)
    if published:
        if stored.published is None:
            raise Conflict(f"the postmortem of {incident} is {stored.state}, and was not published yet")
        print(stored.published.html if html else stored.published.markdown, end="")
        return
    report = postmortems.report(incident)
    print(to_html(report) if html else to_markdown(report), end="")


@app.command(epilog="Example: watchkeeper postmortem edit inc-7f3a01 --revision 2 --set summary='Checkout failed.'")
def edit(
    incident: IncidentId,
    seen: Seen = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=TEXT; FIELD=@FILE reads a file, FIELD=@- standard input. Repeatable."),
    ] = None,
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Save fields. Exit status 4 if somebody else has changed the same field since that revision.

    Fields: summary, impact, root_cause, contributing, signals_missed, went_well, to_improve, cause, mechanism,
    warranted (yes, no, unsure), first_bad_at. Cause, mechanism and warranted also become your label.
    """
    if not values:
        raise ConfigError("--set is missing: give at least one FIELD=TEXT")
    changes = dict(_assignment(value) for value in values)
    postmortems = open_postmortems(config)[0]
    if seen is None:
        raise ConfigError(
            f"--revision is missing: the newest is {postmortems.get(incident).version}; look at it with "
            f"`watchkeeper postmortem show {incident}`"
        )
    _print_saved(postmortems.edit(incident, actor_of(who), key_of(key), seen, changes), as_json)


@app.command(epilog="Example: watchkeeper postmortem timeline inc-7f3a01 --mark e4")
def timeline(
    incident: IncidentId,
    config: ConfigPath = None,
    add: Annotated[str, typer.Option("--add", help="Add a line by hand.")] = "",
    at: Annotated[str, typer.Option("--at", help="When: an ISO time; without a zone it is UTC. Default: now.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="What the new line is, or which lines to list.")] = "",
    mark: Annotated[str, typer.Option("--mark", help="Mark a line as important, by its id.")] = "",
    unmark: Annotated[str, typer.Option("--unmark", help="No longer important.")] = "",
    remove: Annotated[str, typer.Option("--remove", help="Remove a line that was added by hand.")] = "",
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the timeline with the ids of its lines; add, mark or remove one.

    Kinds: detection, response, repair, impact, communication, note.
    """
    from alerting.postmortems.document import ENTRY_KINDS

    kinds = {name: name for name in ENTRY_KINDS}
    if kind and kind not in kinds:
        raise ConfigError(f"--kind {kind}: must be one of {', '.join(ENTRY_KINDS)}")
    if sum(map(bool, (add, mark, unmark, remove))) > 1:
        raise ConfigError("give only one of --add, --mark, --unmark and --remove")
    postmortems = open_postmortems(config)[0]
    actor, once = actor_of(who), key_of(key)
    if add:
        saved = postmortems.add_entry(incident, actor, once, _time(at), add, kinds[kind or "note"])
    elif mark or unmark:
        saved = postmortems.mark(incident, actor, once, mark or unmark, important=bool(mark))
    elif remove:
        saved = postmortems.remove_entry(incident, actor, once, remove)
    else:
        lines = [line for line in postmortems.report(incident).lines if kind in ("", line.kind)]
        if as_json:
            facts = [
                {"id": line.id, "at": line.at.isoformat(), "kind": line.kind, "who": line.who, "text": line.text}
                | {"important": line.important, "by_hand": line.by_hand}
                for line in lines
            ]
            print(json.dumps(facts, indent=2))
            return
        for line in lines:
            star = "*" if line.important else " "
            print(f"{line.id:<10} {star} {line.at:%Y-%m-%d %H:%M:%S}  {line.kind:<13}  {prose(line.text, 2400)}")
        return
    _print_saved(saved, as_json)


@app.command(epilog="Example: watchkeeper postmortem submit inc-7f3a01")
def submit(incident: IncidentId, config: ConfigPath = None, who: Who = None, key: Key = None) -> None:
    """Ask for a review."""
    _print_saved(open_postmortems(config)[0].submit(incident, actor_of(who), key_of(key)))


@app.command("return", epilog="Example: watchkeeper postmortem return inc-7f3a01")
def send_back(incident: IncidentId, config: ConfigPath = None, who: Who = None, key: Key = None) -> None:
    """Send it back to its authors: it is a draft again."""
    _print_saved(open_postmortems(config)[0].send_back(incident, actor_of(who), key_of(key)))


@app.command(epilog="Example: watchkeeper postmortem publish inc-7f3a01 --revision 5")
def publish(
    incident: IncidentId, seen: Seen = None, config: ConfigPath = None, who: Who = None, key: Key = None
) -> None:
    """Approve the revision that you reviewed; the last review that its severity needs publishes it.

    Somebody else must have submitted it, unless you are alone. Without a review to wait for, a draft is published.
    """
    postmortems = open_postmortems(config)[0]
    if seen is None:
        raise ConfigError(f"--revision is missing: the newest is {postmortems.get(incident).version}; review that one")
    _print_saved(postmortems.publish(incident, actor_of(who), key_of(key), seen))


@app.command(epilog="Example: watchkeeper postmortem history inc-7f3a01")
def history(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Every revision: who, when, and what changed."""
    rows = [
        {"revision": one.version, "at": one.at.isoformat(), "by": one.actor.name, "via": one.actor.via}
        | {"state": one.state, "changed": list(one.changed)}
        for one in open_postmortems(config)[0].history(incident)
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        changed = ", ".join(row["changed"]) if isinstance(row["changed"], list) else ""
        print(f"{row['revision']:>4}  {str(row['at'])[:16]}  {row['state']:<10} {seen_name(str(row['by']))}: {changed}")


@app.command(epilog='Example: watchkeeper postmortem search "lock timeout" --state published')
def search(
    words: Annotated[str, typer.Argument(help="Words that a postmortem must hold; none lists the newest.")] = "",
    config: ConfigPath = None,
    state: Annotated[str, typer.Option("--state", help="draft, `in review` or published. Default: all.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Postmortems that hold every one of the words, newest change first."""
    from alerting.postmortems.document import STATES

    if state and state not in STATES:
        raise ConfigError(f"--state {state}: must be one of {', '.join(STATES)}")
    hits = open_postmortems(config)[0].search(words, state, limit)
    if as_json:
        facts = [
            {"incident": one.incident_id, "state": one.state, "revision": one.version, "severity": one.severity}
            | {"service": one.service, "title": one.title, "updated_at": one.updated_at.isoformat()}
            for one in hits
        ]
        print(json.dumps(facts, indent=2))
        return
    for one in hits:
        print(f"{one.incident_id}  {one.updated_at:%Y-%m-%d}  {one.state:<10} {prose(one.title)}")
    if not hits:
        print("no postmortem" + (f" holds {prose(words)!r}" if words else " yet"))


@app.command(epilog="Example: watchkeeper postmortem actions --overdue --owner ana")
def actions(
    config: ConfigPath = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose day is over.")] = False,
    owner: Owner = "",
    done: Annotated[bool, typer.Option("--done", help="Those that are done, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Action items of every postmortem, the soonest first."""
    items = open_postmortems(config)[1].list(owner=owner, overdue=overdue, done=done)
    if as_json:
        print(json.dumps([_action(one) for one in items], indent=2))
        return
    for one in items:
        mark = "x" if one.done_at else " "
        owned = seen_name(one.owner) if one.owner else "nobody"
        due = str(one.due or "no date")
        print(f"{one.id}  [{mark}] {due:<10}  {owned:<12} {prose(one.text)}  ({one.incident_id})")
    if not items:
        print("no action item" + (" is overdue" if overdue else ""))


@app.command(
    epilog='Example: watchkeeper postmortem add-action inc-7f3a01 "Alert on lock waits" --owner ana --due 2026-03-31'
)
def add_action(
    incident: IncidentId,
    text: Annotated[str, typer.Argument(help="What somebody does.")],
    config: ConfigPath = None,
    owner: Owner = "",
    due: Due = "",
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Add an action item. Its owner is reminded on the due date, and once a week while it is overdue."""
    items = open_postmortems(config)[1]
    _print_action(items.add(incident, actor_of(who), key_of(key), text, owner, due), as_json)


@app.command(epilog="Example: watchkeeper postmortem change-action act-3f2a9c01de --due 2026-04-15")
def change_action(
    action: ActionId,
    config: ConfigPath = None,
    text: Annotated[str | None, typer.Option("--text", help="What somebody does.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="A person's id or name; empty for nobody.")] = None,
    due: Annotated[str | None, typer.Option("--due", help="A date; empty for none.")] = None,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Change the text, the owner or the due date."""
    changes = {name: value for name, value in (("text", text), ("owner", owner), ("due", due)) if value is not None}
    if not changes:
        raise ConfigError("give at least one of --text, --owner and --due")
    _print_action(open_postmortems(config)[1].change(action, actor_of(who), changes), as_json)


@app.command(epilog="Example: watchkeeper postmortem done act-3f2a9c01de")
def done(action: ActionId, config: ConfigPath = None, who: Who = None, as_json: AsJson = False) -> None:
    """Mark an action item as done. Exit status 4 if it was."""
    _print_action(open_postmortems(config)[1].finish(action, actor_of(who)), as_json)


@app.command(epilog="Example: watchkeeper postmortem reopen act-3f2a9c01de")
def reopen(action: ActionId, config: ConfigPath = None, who: Who = None, as_json: AsJson = False) -> None:
    """An action item is not done after all."""
    _print_action(open_postmortems(config)[1].reopen(action, actor_of(who)), as_json)


def open_postmortems(config_path: Path | None) -> tuple[Postmortems, Actions]:
    """Postmortems and action items of the state database that a configuration names."""
    from alerting.incidents.commands import Incidents
    from alerting.oncall.in_force import open_in_force
    from alerting.postmortems.actions import Actions
    from alerting.postmortems.editing import Postmortems
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load

    config = load(config_path)
    db, clock = open_in_force(config), SystemClock()
    incidents = Incidents.configured(config, db, clock)
    return Postmortems(db, clock, incidents, config.oncall), Actions(db, clock, config.oncall)


def _assignment(given: str) -> tuple[str, str]:
    name, equals, text = given.partition("=")
    if not equals:
        raise ConfigError(f"--set {given[:60]!r}: must be FIELD=TEXT")
    if text == "@-":
        return name, sys.stdin.read()
    if text.startswith("@"):
        try:
            return name, Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--set {name}: {text[1:]} cannot be read: {error}") from error
    return name, text


def _time(given: str) -> datetime:
    if not given:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(given)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--at {given[:40]!r}: must be a time such as 2026-03-01T02:55:00Z") from error


def _print(postmortems: Postmortems, incident_id: str, as_json: bool) -> None:
    from alerting.postmortems.rendering import to_markdown
    from alerting.postmortems.shown import document_tree

    report = postmortems.report(incident_id)
    text = to_markdown(report)
    if not as_json:
        print(text, end="")
        return
    print(json.dumps(document_tree(report) | {"markdown": text}, indent=2))


def _print_saved(saved: Saved, as_json: bool = False) -> None:
    stored = saved.stored
    if as_json:
        facts = {"changed": saved.changed, "message": saved.message, "revision": stored.version, "state": stored.state}
        print(json.dumps({"incident": stored.incident_id} | facts, indent=2))
    else:
        print(f"{stored.incident_id}: {page_text(saved.message)}")
    if not saved.changed:
        raise typer.Exit(Conflict.exit_code)


def _print_action(outcome: ActionOutcome, as_json: bool) -> None:
    if as_json:
        facts = {"changed": outcome.changed, "message": outcome.message, "action": _action(outcome.action)}
        print(json.dumps(facts, indent=2))
    else:
        print(prose(outcome.message))
    if not outcome.changed:
        raise typer.Exit(Conflict.exit_code)


def _action(action: Action) -> dict[str, Any]:
    from alerting.postmortems.shown import action_tree

    return action_tree(action)
