"""The buttons that decide about a scheduled experiment, and the dialog that asks for a later time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, no_update

from chaos.schedules.decisions import Decisions
from dashboard.commands import NOT_SIGNED_IN, Notice, failed
from dashboard.components.wording import zone_named
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.wiring import Wiring
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Actor


def dialog() -> Any:
    return dmc.Modal(
        id="postpone-dialog",
        title="Postpone the experiment",
        children=[
            dmc.DateTimePicker(
                id="postpone-at",
                label="Run it at, in your own time zone",
                valueFormat="YYYY-MM-DD HH:mm",
                clearable=False,
            ),
            closing("postpone", "Postpone"),
        ],
    )


class _Deciding:
    """What the presses lead to."""

    def __init__(self, wiring: Wiring) -> None:
        sources = wiring.sources
        self._wiring = wiring
        stop = sources.launches.stop if sources.launches else None
        self._decisions = Decisions(sources.config, sources.db, sources.clock, stop)

    def decided(self, token: str, decide: Callable[[Actor], str]) -> Notice:
        """Decide, as the person of this browser's session."""
        actor = self._wiring.who()
        if actor is None:
            return NOT_SIGNED_IN
        try:
            text = decide(actor)
        except WatchkeeperError as error:
            return failed(error)
        finally:
            self._wiring.sources.forget()
        structlog.get_logger().info("dashboard.experiment", run=token, actor=actor.name, decided=text)
        return Notice(title=token.partition("@")[0], message=text[:1].upper() + text[1:] + ".", good=True)

    def pressed(self, clicks: list[int | None], viewer: Any) -> Any:
        button = pressed_id(clicks)
        if button is None:
            return (no_update,) * 5
        token, seen = str(button["run"]), str(button["seen"])
        if button["decide"] == "postpone":
            if self._wiring.who() is None:
                return NOT_SIGNED_IN.shown(), no_update, no_update, no_update, no_update
            return no_update, {"command": "postpone", "run": token}, True, _later(token, viewer), no_update
        decisions: dict[str, Callable[[Actor], str]] = {
            "approve": lambda actor: self._decisions.approve(token, seen, actor),
            "refuse": lambda actor: self._decisions.refuse(token, seen, actor),
            "stop": lambda actor: self._decisions.stop(token, actor),
        }
        decide = decisions.get(str(button["decide"]))
        if decide is None:
            return (no_update,) * 5
        return self.decided(token, decide).shown(), no_update, no_update, no_update, uuid4().hex

    def submitted(self, clicks: int, asked: Any, chosen: object, viewer: Any) -> Any:
        if not clicks or not isinstance(asked, dict) or asked.get("command") != "postpone":
            return no_update, no_update, no_update
        token, to = str(asked.get("run")), _utc(chosen, viewer)
        if to is None:
            notice = Notice(title="Not postponed", message="Choose a time.", good=False)
        else:
            notice = self.decided(token, lambda actor: self._decisions.postpone(token, to, actor))
        return notice.shown(), not notice.good, uuid4().hex


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""
    deciding = _Deciding(wiring)
    wiring.server(
        deciding.pressed,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("postpone-dialog", "opened"),
        Output("postpone-at", "value"),
        refresh(),
        Input({"decide": ALL, "run": ALL, "seen": ALL}, "n_clicks"),
        State("viewer", "data"),
    )
    wiring.server(
        deciding.submitted,
        notices(),
        Output("postpone-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("postpone-submit", "n_clicks"),
        State("asked", "data"),
        State("postpone-at", "value"),
        State("viewer", "data"),
    )


def _later(token: str, viewer: Any) -> Any:
    """The run's own time as the picker has it: wall-clock time in the reader's zone."""
    try:
        due = datetime.fromisoformat(token.rpartition("@")[2])
    except ValueError:
        return no_update
    return due.astimezone(_zone(viewer)).strftime("%Y-%m-%d %H:%M:%S")


def _utc(chosen: object, viewer: Any) -> datetime | None:
    """What the picker gives, as an aware time; None for anything else."""
    try:
        wall = datetime.fromisoformat(str(chosen))
    except ValueError:
        return None
    return wall.replace(tzinfo=_zone(viewer)).astimezone(UTC) if wall.tzinfo is None else wall.astimezone(UTC)


def _zone(viewer: Any) -> Any:
    return zone_named(str(viewer.get("zone", "UTC")) if isinstance(viewer, dict) else "UTC")
