"""The buttons that act at once: acknowledge, decline, and split off."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from dash import no_update

from dashboard.commands import Command, Name, give
from dashboard.dialogs.pressed import buttons, notices, pressed, refresh
from dashboard.wiring import Wiring


def connect(wiring: Wiring) -> None:
    """Add the buttons' callbacks."""
    direct: tuple[Name, ...] = ("acknowledge", "decline", "split")
    for command in direct:
        _connect(wiring, command)


def _connect(wiring: Wiring, command: Name) -> None:
    def act(clicks: list[int | None]) -> Any:
        button = pressed(command, clicks)
        if button is None:
            return no_update, no_update
        actor = wiring.who()
        key = button.key(actor) if actor else ""
        order = Command(name=command, incident_id=button.incident_id, key=key, seen=button.seen)
        notice = give(wiring.sources.incidents, actor, order)
        wiring.sources.forget()
        return notice.shown(), uuid4().hex

    wiring.server(act, notices(), refresh(), buttons(command))
