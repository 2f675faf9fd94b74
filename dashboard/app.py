"""Mount the dashboard on the web role's FastAPI app: Dash on its FastAPI backend, nothing loaded from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import structlog
from dash import ClientsideFunction, Dash, Input, Output, State, set_props
from dash.fingerprint import check_fingerprint
from fastapi import FastAPI

from alerting.incidents.commands import Incidents
from dashboard import commands, pages, shell
from dashboard.reads import suppressed
from dashboard.reads.sources import Role, Sources
from dashboard.web.callbacks import CheckedCallbacks, registered
from dashboard.web.headers import SecureHeaders
from dashboard.web.statics import CompressedStatics
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
{%css%}
<script src="/assets/theme.js"></script>
</head>
<body>
{%app_entry%}
<noscript>The dashboard needs JavaScript. Without it: `watchkeeper incident list`, or /api/v1/incidents.</noscript>
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def mount(
    app: FastAPI,
    config: Config,
    telemetry: Telemetry,
    incidents: Incidents,
    db: Database,
    who: commands.Who = lambda: None,
    roles: Callable[[], Sequence[Role]] = lambda: (),
) -> None:
    """Add every page, and the callbacks behind them, to `app`. Call it once, after the app's own routes.

    `who` names the person of the request that is being answered, None where there is no session: then the
    pages can be read, and nothing can be done. `roles` looks at Watchkeeper's processes on this machine.
    """
    sources = Sources(telemetry=telemetry, incidents=incidents, db=db, config=config, clock=SystemClock(), roles=roles)
    dash = Dash(
        "dashboard",
        server=app,
        index_string=_INDEX,
        title="Watchkeeper",
        update_title="",
        suppress_callback_exceptions=True,  # pages bring their own parts
        assets_ignore="theme.js",  # the index loads it first, by itself
        include_pages_meta=False,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        on_error=_log_callback_error,
    )
    dash.layout = shell.layout()
    _client_callbacks(dash)
    _server_callbacks(dash, sources, who)
    dash._setup_server()  # noqa: SLF001 - else the first request to a page other than / finds no scripts
    # Callbacks over a web socket would pass by the session; nothing here uses them, so no browser tries to.
    dash.backend.websocket_capability = False
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") != "/_dash-ws-callback"]
    app.add_middleware(SecureHeaders, script_hashes=tuple(dash.csp_hashes()))
    app.add_middleware(CompressedStatics, is_component=lambda path: _is_component(dash, path))
    app.add_middleware(CheckedCallbacks, callbacks=registered(dash.callback_map))


def _is_component(dash: Dash, path: str) -> bool:
    """Whether `package/path`, with or without a fingerprint, is a script or a style that Dash serves."""
    package, _, file = path.partition("/")
    return check_fingerprint(file)[0] in dash.registered_paths.get(package, ())


def _log_callback_error(error: Exception) -> None:
    """Show the error as a notification; the page stays as it was. A defect is logged with its traceback."""
    if isinstance(error, WatchkeeperError):
        structlog.get_logger().warning("dashboard.callback_refused", error=error.message)
        message = error.message
    else:
        structlog.get_logger().error("dashboard.callback_failed", error=repr(error), exc_info=error)
        message = "This is a defect in the dashboard. The web role's log has the traceback."
    set_props("notices", {"sendNotifications": commands.notice("Command failed", message, good=False)})


def _off_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Dash runs callbacks on the event loop; queries belong in a thread, so that Slack and the API stay quick."""

    @wraps(function)
    async def run(*args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    return run


def _client_callbacks(dash: Dash) -> None:
    def client(name: str, *parts: Any, **options: Any) -> None:
        dash.clientside_callback(ClientsideFunction("watchkeeper", name), *parts, **options)

    once = {"prevent_initial_call": True}
    client("tick", Output("tick", "data"), Input("clock", "n_intervals"), **once)
    client("refresh", Output("shown", "data"), Input("fresh", "data"), **once)
    client("viewer", Output("viewer", "data"), Input("scheme", "n_clicks"))
    client("scheme", Output("theme", "forceColorScheme"), Input("viewer", "data"), **once)
    client(
        "schemeWords",
        Output("scheme-mark", "className"),
        Output("scheme", "aria-label"),
        Input("viewer", "data"),
        **once,
    )
    client("range", Output("url", "search"), Input("range", "value"), State("url", "search"), **once)
    client(
        "search",
        Output("url", "pathname"),
        Output("url", "search", allow_duplicate=True),
        Output("search", "value"),
        Input("search", "value"),
        **once,
    )
    client("title", Output("nav-open", "children"), Input("pulse", "data"), **once)
    client("opened", Output("help", "opened"), Input("keys", "n_clicks"), **once)
    for dialog in ("resolve", "approve", "reopen"):
        closed = Output(f"{dialog}-dialog", "opened", allow_duplicate=True)
        client("closed", closed, Input(f"{dialog}-cancel", "n_clicks"), **once)
    client(
        "share",
        Output("notices", "sendNotifications", allow_duplicate=True),
        Input("share", "n_clicks"),
        State("pulse", "data"),
        **once,
    )
    client(
        "row",
        Output("url", "search", allow_duplicate=True),
        Input("map", "tapNodeData"),
        State("url", "search"),
        **once,
    )


def _server_callbacks(dash: Dash, sources: Sources, who: commands.Who) -> None:
    dash.callback(
        Output("live", "children"),
        Output("fresh", "data"),
        Output("pulse", "data"),
        Output("who", "children"),
        Output("search", "data"),
        Output("range", "data"),
        Output("range", "value"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("viewer", "data"),
        Input("tick", "data"),
        State("pulse", "data"),
        prevent_initial_call=True,
    )(_off_loop(pages.renderer(sources, who)))
    commands.register(dash, sources, who, _off_loop)
    suppressed.register(dash, sources, who, _off_loop)
