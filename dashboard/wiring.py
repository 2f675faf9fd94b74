"""What connects callbacks to the pages: the Dash application, what is read, and who acts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from dash import ClientsideFunction, Dash
from dash.dependencies import DashDependency

from dashboard.commands import Who
from dashboard.reads.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Adds callbacks to one dashboard.

    `who` names the person of the request that is being answered, or None; `lacks`, why they may not do what needs a
    further scope, empty if they may.
    """

    dash: Dash
    sources: Sources
    who: Who
    lacks: Callable[[str], str]

    def server(self, function: Callable[..., Any], *dependencies: DashDependency) -> None:
        """A callback that runs here, in a thread: queries must not stop the event loop of Slack and the API."""

        @wraps(function)
        async def run(*values: Any) -> Any:
            return await asyncio.to_thread(function, *values)

        self.dash.callback(*dependencies, prevent_initial_call=True)(run)

    def client(self, name: str, *dependencies: DashDependency, at_first: bool = False) -> None:
        """A callback that runs in the browser: the function of that name in assets/. `at_first` runs it on load."""
        function = ClientsideFunction("watchkeeper", name)
        self.dash.clientside_callback(function, *dependencies, prevent_initial_call=not at_first)
