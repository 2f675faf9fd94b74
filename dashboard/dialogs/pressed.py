"""Which button was pressed, and for which incident; a page that is drawn again presses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, ctx

from dashboard.commands import Name
from watchkeeper.vocabulary import Actor

NOTICES = "notices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """A button of the page that was pressed."""

    command: Name
    incident_id: str
    version: str
    seen: str

    def key(self, actor: Actor) -> str:
        """The idempotency key: a double click of one person on one version acts once."""
        return f"dashboard:{self.command}:{self.incident_id}:{self.version}:{actor.name}"

    def asked(self, actor: Actor) -> dict[str, str]:
        """What a dialog remembers until it is submitted."""
        return {"command": self.command, "incident": self.incident_id, "key": self.key(actor), "seen": self.seen}


def buttons(command: Name) -> Input:
    """Every button of one command on the page."""
    return Input({"command": command, "incident": ALL, "version": ALL, "seen": ALL}, "n_clicks")


def pressed_id(clicks: Sequence[int | None]) -> Any:
    """The id of the button that was pressed; None if the page was only drawn again."""
    button = ctx.triggered_id
    return button if button and any(clicks) and ctx.triggered[0]["value"] else None


def pressed(command: Name, clicks: Sequence[int | None]) -> Pressed | None:
    """The button of `command` that was pressed; None if the page was only drawn again."""
    button = pressed_id(clicks)
    if button is None or button["command"] != command or not isinstance(button["incident"], str):
        return None  # no button of ours
    return Pressed(
        command=command,
        incident_id=button["incident"],
        version=str(button["version"]),
        seen=str(button["seen"]),
    )


def is_for(command: Name, asked: Any) -> bool:
    """Whether the open dialog was opened by a button of `command`."""
    return (
        isinstance(asked, dict)
        and asked.get("command") == command
        and all(isinstance(asked.get(key), str) for key in ("incident", "key", "seen"))
    )


def notices() -> Output:
    """Where every command puts its notification."""
    return Output(NOTICES, "sendNotifications", allow_duplicate=True)


def refresh() -> Output:
    """Any new value draws the page again."""
    return Output("tick", "data", allow_duplicate=True)


def closing(dialog: str, submit: str) -> Any:
    """The two buttons at the end of a dialog: `<dialog>-cancel` and `<dialog>-submit`."""
    return dmc.Group(
        [
            dmc.Button("Cancel", id=f"{dialog}-cancel", variant="default", n_clicks=0),
            dmc.Button(submit, id=f"{dialog}-submit", n_clicks=0),
        ],
        justify="flex-end",
        mt="md",
    )
