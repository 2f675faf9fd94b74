"""What a reader may do from a page: the same commands as in Slack and on the command line, by a person with a session.

A button names the command, the incident and the version it was drawn for; that is also the command's
idempotency key, so a double click does one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, ctx, html, no_update

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement, read_form
from alerting.incidents.machine import Incident, Outcome
from dashboard.components.escaping import inert
from dashboard.reads.sources import Sources
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import page_text, seen_name
from watchkeeper.vocabulary import Actor

Who = Callable[[], Actor | None]
WORDS = {"acknowledge": "Acknowledge", "resolve": "Resolve", "approve": "Review and approve", "decline": "Decline"}
DIRECT = ("acknowledge", "decline")
NO_SESSION = "This browser has no session, so it can only read. Sign in, or use Slack or the command line."


def command_button(command: str, incident: Incident, *, small: bool = False, quiet: bool = False) -> Any:
    """A button that gives a command, or opens the dialog that asks for what it needs."""
    return dmc.Button(
        WORDS[command],
        id={"command": command, "incident": incident.id, "version": incident.version, "seen": _seen(incident)},
        n_clicks=0,
        size="compact-sm" if small else "sm",
        variant="default" if quiet else "filled",
    )


def _seen(incident: Incident) -> str:
    """The proposal that a page shows: a decision on it does not apply to another."""
    return incident.proposal.id if incident.proposal else ""


def give(
    incidents: Incidents,
    actor: Actor | None,
    command: str,
    incident_id: str,
    key: str,
    judgement: Judgement | None = None,
    seen: str = "",
) -> tuple[str, str, bool]:
    """Give one command. Returns the notification: a title, a sentence, and whether it succeeded."""
    if actor is None:
        return "Not signed in", NO_SESSION, False
    try:
        outcome = _run(incidents, actor, command, incident_id, key, judgement, seen)
    except WatchkeeperError as error:
        return "Command failed", error.message, False
    log = structlog.get_logger()
    log.info("dashboard.command", command=command, incident=incident_id, actor=actor.name, changed=outcome.changed)
    return outcome.incident.title, outcome.message, True


def _run(
    incidents: Incidents,
    actor: Actor,
    command: str,
    incident_id: str,
    key: str,
    judgement: Judgement | None,
    seen: str,
) -> Outcome:
    match command:
        case "acknowledge":
            return incidents.acknowledge(incident_id, actor, key)
        case "resolve":
            return incidents.resolve(incident_id, actor, key, judgement)
        case "approve":
            return incidents.approve(incident_id, actor, key, seen)
        case "decline":
            return incidents.decline(incident_id, actor, key, seen)
    raise ValueError(f"no such command: {command}")


def _names_incident(asked: Any) -> bool:
    """Whether a dialog was opened for an incident: another page's dialog keeps other things there."""
    return isinstance(asked, dict) and all(isinstance(asked.get(key), str) for key in ("incident", "key"))


def notice(title: str, message: str, good: bool) -> list[dict[str, Any]]:
    """A notification, gone by itself when all went well."""
    return [
        {
            "action": "show",
            "title": page_text(title, 300),
            "message": page_text(message, 1000),
            "color": "harbor" if good else "red",
            "autoClose": 5000 if good else False,
        }
    ]


def plan(incident: Incident) -> Any:
    """What a runbook would do, for the one who is to approve it."""
    proposal = incident.proposal
    if proposal is None:
        return html.P("No runbook is proposed now.")
    return html.Div(
        [
            html.P([html.Strong(proposal.title), f" on {proposal.service}"]),
            html.Ol([html.Li(step) for step in proposal.steps]),
            html.Dl(
                [html.Dt("Blast radius"), html.Dd(proposal.blast_radius), html.Dt("Undo"), html.Dd(proposal.undo)],
                className="facts",
            ),
        ]
    )


def register(dash: Any, sources: Sources, who: Who, off_loop: Callable[[Callable[..., Any]], Any]) -> None:
    """Add the commands' callbacks."""
    any_button = {"command": ALL, "incident": ALL, "version": ALL, "seen": ALL}
    once = {"prevent_initial_call": True}

    def pressed(clicks: list[int | None]) -> Any:
        """A button of the page: act at once, or open the dialog that asks for more."""
        nothing = (no_update,) * 11
        button = ctx.triggered_id
        if not button or not any(clicks) or not ctx.triggered[0]["value"]:
            return nothing  # the page was drawn anew; nobody pressed anything
        command, incident_id, version = button["command"], button["incident"], button["version"]
        if command not in WORDS or not isinstance(incident_id, str):
            return nothing  # no button of ours
        actor = who()
        if actor is None:
            return (notice("Not signed in", NO_SESSION, False), *nothing[1:])
        asked = {"incident": incident_id, "key": f"dashboard:{command}:{incident_id}:{version}:{actor.name}"}
        if command in DIRECT:
            result = give(sources.incidents, actor, command, incident_id, asked["key"], seen=str(button["seen"]))
            sources.forget()
            return (notice(*result), uuid4().hex, *nothing[2:])
        incident = sources.incident(incident_id)
        if command == "approve":
            asked["seen"] = _seen(incident)  # the dialog shows this one, whatever the page showed
            return (no_update, no_update, asked, *nothing[3:9], True, inert(plan(incident)))
        causes = [s.service for s in incident.diagnosis.suspects] if incident.diagnosis else []
        causes += sorted({incident.service, *(f.service for f in incident.findings)} - set(causes))
        choices = [{"value": cause, "label": seen_name(cause)} for cause in dict.fromkeys(causes) if cause]
        # Nothing is chosen beforehand, nor left over from another incident: that would be no judgement of this one.
        return (no_update, no_update, asked, True, choices, None, None, None, "", *nothing[9:])

    dash.callback(
        Output("notices", "sendNotifications"),
        Output("tick", "data", allow_duplicate=True),
        Output("asked", "data"),
        Output("resolve-dialog", "opened"),
        Output("label-cause", "data"),
        Output("label-cause", "value"),
        Output("label-mechanism", "value"),
        Output("label-warranted", "value"),
        Output("label-note", "value", allow_duplicate=True),
        Output("approve-dialog", "opened"),
        Output("approve-plan", "children"),
        Input(any_button, "n_clicks"),
        **once,
    )(off_loop(pressed))

    def resolve(
        clicks: int, asked: Any, cause: str | None, mechanism: str | None, warranted: str | None, note: str | None
    ) -> Any:
        actor = who()
        if not clicks or not _names_incident(asked):
            return no_update, no_update, no_update, no_update
        if actor is None:
            return notice("Not signed in", NO_SESSION, False), no_update, no_update, no_update
        judgement = read_form(warranted, cause, mechanism, note)
        result = give(sources.incidents, actor, "resolve", asked["incident"], asked["key"], judgement)
        sources.forget()
        return notice(*result), False, uuid4().hex, ""

    dash.callback(
        Output("notices", "sendNotifications", allow_duplicate=True),
        Output("resolve-dialog", "opened", allow_duplicate=True),
        Output("tick", "data", allow_duplicate=True),
        Output("label-note", "value"),
        Input("resolve-submit", "n_clicks"),
        State("asked", "data"),
        State("label-cause", "value"),
        State("label-mechanism", "value"),
        State("label-warranted", "value"),
        State("label-note", "value"),
        **once,
    )(off_loop(resolve))

    def approve(clicks: int, asked: Any) -> Any:
        if not clicks or not _names_incident(asked):
            return no_update, no_update, no_update
        result = give(
            sources.incidents, who(), "approve", asked["incident"], asked["key"], seen=str(asked.get("seen", ""))
        )
        sources.forget()
        return notice(*result), False, uuid4().hex

    dash.callback(
        Output("notices", "sendNotifications", allow_duplicate=True),
        Output("approve-dialog", "opened", allow_duplicate=True),
        Output("tick", "data", allow_duplicate=True),
        Input("approve-submit", "n_clicks"),
        State("asked", "data"),
        **once,
    )(off_loop(approve))
