"""The editor of a postmortem, the dialogs of an action item and of a line of the timeline, and the buttons beside them.

What is typed stays until it is saved: if somebody else has changed the same field meanwhile, the dialog says who and
shows their text, and a second save, knowing that, replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, html, no_update

from alerting.incidents.human_labels import ANSWERS
from alerting.postmortems.document import EDITABLE, ENTRY_KINDS, SECTIONS, Document, EntryKind
from alerting.postmortems.editing import Postmortems
from alerting.postmortems.revisions import Stored
from dashboard.commands import NOT_SIGNED_IN, Notice, failed
from dashboard.components.elements import Part
from dashboard.components.escaping import inert
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.sources import Sources
from dashboard.wiring import Wiring
from watchkeeper.errors import Conflict, WatchkeeperError
from watchkeeper.vocabulary import MECHANISMS, Actor

FORMS: Final = ("edit", "action", "entry")


def dialogs() -> list[Any]:
    """The editor, and the two small dialogs."""
    texts = [
        dmc.Textarea(
            id=f"postmortem-{section.field}", label=section.heading, description=section.prompt, autosize=True,
            minRows=2, maxRows=12,
        )
        for section in SECTIONS.values()
    ]  # fmt: skip
    answers = [
        dmc.TextInput(id="postmortem-cause", label="True cause", description="The service at fault"),
        dmc.Select(
            id="postmortem-mechanism", label="Mechanism", data=[{"value": m, "label": m} for m in MECHANISMS],
            clearable=True,
        ),
        dmc.RadioGroup(
            dmc.Group([dmc.Radio(label=words, value=answer) for answer, words in ANSWERS]),
            id="postmortem-warranted", label="Was the page warranted?",
        ),
        dmc.TextInput(id="postmortem-first_bad_at", label="First bad time (UTC)", placeholder="2026-03-01T02:55:00Z"),
    ]  # fmt: skip
    note = html.P("The cause, the mechanism and the answer about the page become your label.", className="muted")
    return [
        dmc.Modal(
            id="postmortem-dialog",
            title="Edit the postmortem",
            size="xl",
            closeOnClickOutside=False,  # a press beside it must not lose what was typed
            children=dmc.Stack(
                [*texts, *answers, note, html.Div(id="postmortem-news", role="status"), closing("postmortem", "Save")],
                gap="md",
            ),
        ),
        dmc.Modal(
            id="action-dialog",
            title="Add an action item",
            size="lg",
            children=dmc.Stack(
                [
                    dmc.Textarea(id="action-text", label="What somebody does", autosize=True, minRows=2),
                    dmc.TextInput(id="action-owner", label="Owner", description="A person’s id or name"),
                    dmc.TextInput(id="action-due", label="Due date", placeholder="2026-03-31"),
                    closing("action", "Add"),
                ],
                gap="md",
            ),
        ),
        dmc.Modal(
            id="entry-dialog",
            title="Add a line to the timeline",
            size="lg",
            children=dmc.Stack(
                [
                    dmc.TextInput(id="entry-at", label="When (UTC)", placeholder="2026-03-01T02:55:00Z"),
                    dmc.Select(
                        id="entry-kind", label="Kind", data=list(ENTRY_KINDS), value="note", allowDeselect=False
                    ),
                    dmc.Textarea(id="entry-text", label="What happened", autosize=True, minRows=2),
                    closing("entry", "Add"),
                ],
                gap="md",
            ),
        ),
    ]


def values(document: Document) -> list[str]:
    """What the fields of the editor hold, in the order of EDITABLE."""
    at = document.first_bad_at
    shown = [getattr(document, name) for name in EDITABLE if name != "first_bad_at"]
    return [*shown, f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""]


def asked_for(stored: Stored) -> list[Any]:
    """Which sections a publication needs, and how each is shown: outside the template, only where it has a text."""
    template = stored.template
    shown = [name in template.sections or getattr(stored.document, name) for name in SECTIONS]
    return [*(name in template.required for name in SECTIONS), *({} if one else {"display": "none"} for one in shown)]


def changes(before: Document, typed: Sequence[object]) -> dict[str, object]:
    """The fields that somebody changed in the editor; an untouched one is not saved, whoever changes it meanwhile."""
    return {
        name: new or ""
        for name, old, new in zip(EDITABLE, values(before), typed, strict=True)
        if (new or "") != old and str(new or "").strip() != old
    }


def saved(
    postmortems: Postmortems, actor: Actor | None, asked: dict[str, Any], typed: Sequence[object]
) -> tuple[Notice, bool, Part, int]:
    """Save what was typed: the notice, whether the dialog closes, its news, and the revision that it now shows."""
    incident_id, revision = str(asked["incident"]), int(asked["revision"])
    if actor is None:
        return NOT_SIGNED_IN, False, no_update, revision
    try:
        history = postmortems.history(incident_id)
        before = next(one.document for one in history if one.version == int(asked["base"]))
        changed = changes(before, typed)
        if not changed:
            return Notice(title="Nothing changes", message="You changed no field.", good=True), True, None, revision
        result = postmortems.edit(incident_id, actor, f"dashboard:{asked['key']}", revision, changed)
    except Conflict as error:
        current = postmortems.get(incident_id)
        theirs = values(current.document)
        shown = [
            html.Div([html.Strong(name), html.P(text or "(empty)", className="typed")])
            for name, text, old in zip(EDITABLE, theirs, values(before), strict=True)
            if text != old
        ]
        news = html.Div(
            [html.P(error.message), html.P("Their text. A second save keeps yours:"), *shown], className="news"
        )
        return failed(error), False, inert(news), current.version
    except WatchkeeperError as error:
        return failed(error), False, no_update, revision
    structlog.get_logger().info("dashboard.postmortem_saved", incident=incident_id, actor=actor.name)
    return Notice(title="Saved", message=result.message, good=True), True, None, revision


def acted(wiring: Wiring, act: Callable[[Actor], str]) -> Any:
    """A notice and a refresh, after a command by the person of this browser's session."""
    actor = wiring.who()
    if actor is None:
        return NOT_SIGNED_IN.shown(), no_update
    try:
        notice = Notice(title="Done", message=act(actor), good=True)
    except WatchkeeperError as error:
        notice = failed(error)
    wiring.sources.forget()
    return notice.shown(), uuid4().hex


def _is_asked(asked: Any, form: str) -> bool:
    """Whether the open dialog is of that form, with what it remembers in the right shape."""
    return (
        isinstance(asked, dict)
        and asked.get("form") == form
        and all(isinstance(asked.get(name), str) for name in ("incident", "key"))
        and all(isinstance(asked.get(name), int) for name in ("revision", "base"))
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialogs."""
    _connect_opening(wiring)
    _connect_editor(wiring)
    _connect_small(wiring)
    _connect_buttons(wiring)


def _connect_opening(wiring: Wiring) -> None:
    fields = len(EDITABLE)

    def opened(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        nothing = (no_update,) * (6 + fields + 2 * len(SECTIONS))
        if button is None or button["form"] not in FORMS or not isinstance(button["postmortem"], str):
            return nothing
        if wiring.who() is None:
            return (NOT_SIGNED_IN.shown(), *nothing[1:])
        stored = wiring.sources.postmortems.get(button["postmortem"])
        asked = {"form": button["form"], "incident": stored.incident_id, "key": uuid4().hex}
        asked |= {"revision": stored.version, "base": stored.version}
        opens = [True if button["form"] == form else no_update for form in FORMS]
        filled = [no_update] * (fields + 2 * len(SECTIONS))
        if button["form"] == "edit":
            filled = [*values(stored.document), *asked_for(stored)]
        return no_update, asked, *opens, None, *filled

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("postmortem-dialog", "opened"),
        Output("action-dialog", "opened"),
        Output("entry-dialog", "opened"),
        Output("postmortem-news", "children"),
        *(Output(f"postmortem-{name}", "value") for name in EDITABLE),
        *(Output(f"postmortem-{name}", "withAsterisk") for name in SECTIONS),
        *(Output(f"postmortem-{name}", "style") for name in SECTIONS),
        Input({"postmortem": ALL, "revision": ALL, "form": ALL}, "n_clicks"),
    )


def _connect_editor(wiring: Wiring) -> None:
    def submitted(clicks: int, asked: Any, *typed: object) -> Any:
        if not clicks or not _is_asked(asked, "edit"):
            return (no_update,) * 5
        notice, closes, news, revision = saved(wiring.sources.postmortems, wiring.who(), asked, typed)
        wiring.sources.forget()
        return notice.shown(), not closes, uuid4().hex, news, {**asked, "revision": revision}

    wiring.server(
        submitted,
        notices(),
        Output("postmortem-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("postmortem-news", "children", allow_duplicate=True),
        Output("asked", "data", allow_duplicate=True),
        Input("postmortem-submit", "n_clicks"),
        State("asked", "data"),
        *(State(f"postmortem-{name}", "value") for name in EDITABLE),
    )


def _connect_small(wiring: Wiring) -> None:
    sources = wiring.sources

    def add_action(clicks: int, asked: Any, text: str | None, owner: str | None, due: str | None) -> Any:
        if not clicks or not _is_asked(asked, "action"):
            return (no_update,) * 6
        shown, again = acted(wiring, lambda actor: _added(sources, actor, asked, text, owner, due))
        good = shown[0]["autoClose"] is not False
        return shown, not good, again, *(["", "", ""] if good else [no_update] * 3)

    wiring.server(
        add_action,
        notices(),
        Output("action-dialog", "opened", allow_duplicate=True),
        refresh(),
        *(Output(f"action-{name}", "value") for name in ("text", "owner", "due")),
        Input("action-submit", "n_clicks"),
        State("asked", "data"),
        *(State(f"action-{name}", "value") for name in ("text", "owner", "due")),
    )

    def add_entry(clicks: int, asked: Any, at: str | None, kind: str | None, text: str | None) -> Any:
        if not clicks or not _is_asked(asked, "entry"):
            return (no_update,) * 5
        shown, again = acted(wiring, lambda actor: _entered(sources, actor, asked, at, kind, text))
        good = shown[0]["autoClose"] is not False
        return shown, not good, again, *(["", ""] if good else [no_update] * 2)

    wiring.server(
        add_entry,
        notices(),
        Output("entry-dialog", "opened", allow_duplicate=True),
        refresh(),
        *(Output(f"entry-{name}", "value") for name in ("at", "text")),
        Input("entry-submit", "n_clicks"),
        State("asked", "data"),
        *(State(f"entry-{name}", "value") for name in ("at", "kind", "text")),
    )


def _added(
    sources: Sources, actor: Actor, asked: dict[str, Any], text: str | None, owner: str | None, due: str | None
) -> str:
    key = f"dashboard:{asked['key']}"
    return sources.actions.add(asked["incident"], actor, key, text or "", owner or "", due or "").message


def _entered(
    sources: Sources, actor: Actor, asked: dict[str, Any], at: str | None, kind: str | None, text: str | None
) -> str:
    try:
        when = datetime.fromisoformat((at or "").strip())
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Conflict("When: write a time such as 2026-03-01T02:55:00Z") from error
    kinds: dict[str, EntryKind] = {name: name for name in ENTRY_KINDS}
    chosen = kinds.get(kind or "", "note")
    key = f"dashboard:{asked['key']}"
    return sources.postmortems.add_entry(asked["incident"], actor, key, when, text or "", chosen).message


def _connect_buttons(wiring: Wiring) -> None:
    sources = wiring.sources

    def review(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not (isinstance(button["incident"], str) and isinstance(button["revision"], int)):
            return no_update, no_update  # no button of ours
        incident_id, revision, key = button["incident"], button["revision"], f"dashboard:{uuid4().hex}"
        match button["review"]:
            case "submit":
                return acted(wiring, lambda actor: sources.postmortems.submit(incident_id, actor, key).message)
            case "return":
                return acted(wiring, lambda actor: sources.postmortems.send_back(incident_id, actor, key).message)
            case "publish":
                return acted(wiring, lambda a: sources.postmortems.publish(incident_id, a, key, revision).message)
        return no_update, no_update

    wiring.server(review, notices(), refresh(), Input({"review": ALL, "incident": ALL, "revision": ALL}, "n_clicks"))

    def done(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not isinstance(button["action"], str):
            return no_update, no_update
        command = sources.actions.reopen if button["to"] == "reopen" else sources.actions.finish
        return acted(wiring, lambda actor: command(button["action"], actor).message)

    wiring.server(done, notices(), refresh(), Input({"action": ALL, "to": ALL}, "n_clicks"))

    def mark(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not (isinstance(button["incident"], str) and isinstance(button["mark"], str)):
            return no_update, no_update
        important, key = button["to"] == "important", f"dashboard:{uuid4().hex}"

        def act(actor: Actor) -> str:
            incident_id, line = button["incident"], button["mark"]
            return sources.postmortems.mark(incident_id, actor, key, line, important=important).message

        return acted(wiring, act)

    wiring.server(mark, notices(), refresh(), Input({"mark": ALL, "incident": ALL, "to": ALL}, "n_clicks"))
