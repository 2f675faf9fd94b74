"""The dialog that starts an experiment, and the button that stops those that run.

Both give the commands of the command line, in processes of their own (`chaos.launches`).
"""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, html, no_update

from chaos.assessment import Assessment
from chaos.launches import Launches
from chaos.registry import faults
from dashboard.commands import NOT_SIGNED_IN, Notice, failed
from dashboard.components.elements import Part, facts
from dashboard.components.escaping import inert
from dashboard.components.wording import ago, count, listed
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.sources import Sources
from dashboard.wiring import Wiring
from watchkeeper.errors import ChaosError, WatchkeeperError
from watchkeeper.state.audit import record_audit
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Actor

SECONDS: Final = 30
LONGEST_S: Final = 240


def start_button(service: str, fault: str, text: str = "Start", *, quiet: bool = True) -> Any:
    """Opens the dialog for one experiment; for none, where service and fault are empty."""
    return dmc.Button(
        text,
        id={"experiment": json.dumps([service, fault])},
        n_clicks=0,
        size="compact-sm" if quiet else "sm",
        variant="default" if quiet else "filled",
    )


def stop_button() -> Any:
    """Ends every experiment that runs on this machine, at once."""
    return dmc.Button("Stop", id={"stop": "experiments"}, n_clicks=0, size="sm", variant="outline", className="danger")


def dialog() -> Any:
    return dmc.Modal(
        id="experiment-dialog",
        title="Start an experiment",
        size="lg",
        children=[
            dmc.Select(
                id="experiment-cell", label="Fault and service", data=[], searchable=True, allowDeselect=False,
                nothingFoundMessage="No match",
            ),
            dmc.NumberInput(
                id="experiment-seconds", label="Seconds to hold, after its effect is proved", value=SECONDS, min=5,
                max=LONGEST_S, mt="md",
            ),
            html.Div(id="experiment-plan", className="stack experiment-plan"),
            closing("experiment", "Break it now"),
        ],
    )  # fmt: skip


def plan(known: Assessment, service: str, fault: str, seconds: float) -> Part:
    """What will happen, what it may harm, and what is known of it."""
    reach = known.reaches.get(service)
    chosen = faults().get(fault)
    if chosen is None or reach is None:
        return html.P("Choose what to break.", className="muted")
    cell = next((one for one in known.cells if (one.service, one.fault) == (service, fault)), None)
    callers = [name for name in reach.services if name != service]
    tested = (
        f"found {cell.found} of {cell.tested}, {ago(cell.tested_at, known.now)}" if cell and cell.tested_at else "never"
    )
    rows: list[tuple[str, Part]] = [
        ("What", chosen.description),
        ("Where", service),
        (
            "May harm",
            f"{listed([service, *callers])}: {count(len(reach.services), 'service')}" if reach.is_known else UNKNOWN,
        ),
        ("Error budget", f"{reach.budget:.0%} left" if reach.budget < 1 else "untouched, or no objective is set"),
        ("Lasts", f"{seconds:g} s once its effect is proved; it ends by itself if everything dies"),
        ("Tested", tested),
    ]
    return [
        facts(*rows),
        html.P("Nothing is broken unless the target is steady and no other experiment reaches it.", className="muted"),
    ]


def started(sources: Sources, actor: Actor | None, service: str, fault: str, seconds: float) -> Notice:
    """Start one, by the person of this browser's session."""
    if actor is None:
        return NOT_SIGNED_IN
    if sources.launches is None:
        return Notice(title="Not started", message=NO_FILE, good=False)
    if (service, fault) not in sources.experiments.assessment().possible:
        message = f"{service} has not opted in to {fault}, or its target cannot do it now."
        return Notice(title="Not started", message=message, good=False)
    now = sources.now()
    try:
        sources.launches.start(fault, service, min(seconds, LONGEST_S), by=actor.name, now=now)
        _audit(sources, actor, "experiment.start", f"{fault} in {service}")
    except WatchkeeperError as error:
        return failed(error)
    structlog.get_logger().info("dashboard.experiment_started", fault=fault, service=service, actor=actor.name)
    message = "It checks the steady state first. This page shows how it goes."
    return Notice(title=f"Starting {fault} in {service}", message=message, good=True)


def stopped(launches: Launches | None, actor: Actor | None, sources: Sources) -> Notice:
    """Stop what runs, by the person of this browser's session."""
    if actor is None:
        return NOT_SIGNED_IN
    try:
        if launches is None:
            raise ChaosError(NO_FILE)
        message = launches.stop()
        _audit(sources, actor, "experiment.stop", "every experiment on this machine")
    except WatchkeeperError as error:
        return failed(error)
    structlog.get_logger().info("dashboard.experiments_stopped", actor=actor.name)
    return Notice(title="Stopped", message=message, good=True)


UNKNOWN: Final = "any service: who depends on whom is not known"
NO_FILE: Final = "The web role runs without a configuration file. Use `watchkeeper chaos` on the command line."


def _audit(sources: Sources, actor: Actor, action: str, subject: str) -> None:
    with sources.db.write() as connection:
        record_audit(connection, sources.now(), actor, action, subject)


def _cell(value: object) -> tuple[str, str]:
    """The service and the fault of a button or of the select; two empty texts for anything else."""
    try:
        service, fault = json.loads(value) if isinstance(value, str) else ("", "")
    except ValueError:
        return "", ""
    return (service, fault) if isinstance(service, str) and isinstance(fault, str) else ("", "")


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""
    sources = wiring.sources

    def opened(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None:
            return (no_update,) * 4
        if wiring.who() is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
        possible = sorted(sources.experiments.assessment().possible, key=lambda cell: (cell[1], cell[0]))
        choices = [{"value": json.dumps([s, f]), "label": f"{seen_name(f)} in {seen_name(s)}"} for s, f in possible]
        cell = _cell(button["experiment"])
        return no_update, True, choices, json.dumps(list(cell)) if cell in possible else None

    wiring.server(
        opened,
        notices(),
        Output("experiment-dialog", "opened"),
        Output("experiment-cell", "data"),
        Output("experiment-cell", "value"),
        Input({"experiment": ALL}, "n_clicks"),
    )

    def planned(cell: object, seconds: object) -> Any:
        service, fault = _cell(cell)
        return inert(plan(sources.experiments.assessment(), service, fault, _seconds(seconds))), not fault

    wiring.server(
        planned,
        Output("experiment-plan", "children"),
        Output("experiment-submit", "disabled"),
        Input("experiment-cell", "value"),
        Input("experiment-seconds", "value"),
    )

    def submitted(clicks: int, cell: object, seconds: object) -> Any:
        service, fault = _cell(cell)
        if not clicks or not fault:
            return no_update, no_update, no_update
        notice = started(sources, wiring.who(), service, fault, _seconds(seconds))
        sources.forget()
        return notice.shown(), False, uuid4().hex

    wiring.server(
        submitted,
        notices(),
        Output("experiment-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("experiment-submit", "n_clicks"),
        State("experiment-cell", "value"),
        State("experiment-seconds", "value"),
    )

    def stop(clicks: list[int | None]) -> Any:
        if pressed_id(clicks) is None:
            return no_update, no_update
        notice = stopped(sources.launches, wiring.who(), sources)
        sources.forget()
        return notice.shown(), uuid4().hex

    wiring.server(stop, notices(), refresh(), Input({"stop": ALL}, "n_clicks"))


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value <= LONGEST_S else float(SECONDS)
