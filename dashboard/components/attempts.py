"""A part of a page that fails shows its error in its place; the rest of the page stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from dash import html

from dashboard.components.elements import Part, trouble
from dashboard.drawing import note_problem
from watchkeeper.errors import WatchkeeperError

DEFECT: Final = "This is a defect in the dashboard. The web role's log has the traceback."


def attempt(what: str, draw: Callable[[], Part]) -> Part:
    """What `draw` gives, or in its place what is wrong. `what` names the part at the start of a sentence."""
    try:
        part = draw()
        # Dash knows no list within a list of children.
        return html.Div(part, className="stack") if isinstance(part, list) else part
    except WatchkeeperError as error:
        structlog.get_logger().warning("dashboard.part_failed", part=what, error=error.message)
        note_problem(f"{what}: {error.message}")
        return trouble(what, error.message)
    except Exception:  # noqa: BLE001 - one part that fails must not take the incidents off the screen
        structlog.get_logger().exception("dashboard.part_failed", part=what)
        note_problem(f"{what}: {DEFECT}")
        return trouble(what, DEFECT)
