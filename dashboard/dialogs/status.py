"""The dialog that writes a status update, and the buttons that approve and withdraw one."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, html, no_update

from alerting.status_page.updates import IMPACTS, STATES, Audience, Content, Impact, UpdateState
from dashboard.commands import NOT_SIGNED_IN
from dashboard.dialogs.postmortem import acted
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.sources import Sources
from dashboard.wiring import Wiring
from watchkeeper.vocabulary import Actor

FIELDS: Final = ("audience", "state", "impact", "text")


def dialog() -> Any:
    """For colleagues unless another audience is chosen."""
    readers = [dmc.Radio(label="Colleagues", value="internal"), dmc.Radio(label="The public", value="public")]
    return dmc.Modal(
        id="status-dialog",
        title="Write a status update",
        size="lg",
        closeOnClickOutside=False,
        children=dmc.Stack(
            [
                dmc.RadioGroup(dmc.Group(readers), id="status-audience", label="Who reads it?", value="internal"),
                _choice("state", STATES, "As the incident is"),
                _choice("impact", IMPACTS, "Degraded"),
                dmc.Textarea(
                    id="status-text", label="What its readers need to know", autosize=True, minRows=3,
                    description="Empty, for the public: a neutral draft, which somebody approves.",
                ),
                html.P("A public text names components, and no service, machine, person or secret.", className="muted"),
                closing("status", "Write"),
            ],
            gap="md",
        ),
    )  # fmt: skip


def _choice(name: str, values: tuple[str, ...], otherwise: str) -> Any:
    label = name.capitalize()
    return dmc.Select(id=f"status-{name}", label=label, data=list(values), clearable=True, placeholder=otherwise)


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""
    sources = wiring.sources

    def pressed(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not isinstance(button["status"], str):
            return (no_update,) * 4
        name = button["status"]
        match button["to"]:
            case "write" if wiring.who() is None:
                return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
            case "write":
                return no_update, no_update, {"form": "status", "incident": name, "key": uuid4().hex}, True
            case "approve":
                shown, again = acted(wiring, lambda actor: f"Public: {sources.status.approve(name, actor).text}")
            case "withdraw":
                shown, again = acted(wiring, lambda actor: f"Withdrawn: {sources.status.withdraw(name, actor).text}")
            case _:
                return (no_update,) * 4
        return shown, again, no_update, no_update

    wiring.server(
        pressed,
        notices(),
        refresh(),
        Output("asked", "data", allow_duplicate=True),
        Output("status-dialog", "opened"),
        Input({"status": ALL, "to": ALL}, "n_clicks"),
    )

    def submitted(clicks: int, asked: Any, *typed: str | None) -> Any:
        if not clicks or not isinstance(asked, dict) or asked.get("form") != "status":
            return (no_update,) * 4
        shown, again = acted(wiring, lambda actor: _written(sources, actor, asked, *typed))
        good = shown[0]["autoClose"] is not False
        return shown, not good, again, "" if good else no_update

    wiring.server(
        submitted,
        notices(),
        Output("status-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("status-text", "value"),
        Input("status-submit", "n_clicks"),
        State("asked", "data"),
        *(State(f"status-{name}", "value") for name in FIELDS),
    )


def _written(
    sources: Sources,
    actor: Actor,
    asked: dict[str, Any],
    audience: str | None,
    state: str | None,
    impact: str | None,
    text: str | None,
) -> str:
    states: dict[str, UpdateState] = {name: name for name in STATES}
    impacts: dict[str, Impact] = {name: name for name in IMPACTS}
    content = Content(text=(text or "").strip(), state=states.get(state or ""), impact=impacts.get(impact or ""))
    incident_id, key = str(asked["incident"]), f"dashboard:{asked['key']}"
    readers: Audience = "public" if audience == "public" else "internal"
    if readers == "public" and not content.text:
        return f"A draft, which nobody sees yet: {sources.status.draft(incident_id, actor, key, content).text}"
    return sources.status.post(incident_id, actor, key, readers, content).text
