"""Mount the dashboard on the web role's FastAPI app: Dash on its FastAPI backend, nothing loaded from outside."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from dash import ALL, Dash, Input, Output, State, set_props
from dash.fingerprint import check_fingerprint
from fastapi import FastAPI

from dashboard import commands, shell
from dashboard.components.attempts import DEFECT
from dashboard.dialogs import (
    answer,
    approve,
    board,
    decide,
    direct,
    experiment,
    handover,
    judge,
    note,
    override,
    postmortem,
    reopen,
    resolve,
    rota,
    severity,
    status,
)
from dashboard.reads.sources import Sources
from dashboard.registry import Pages
from dashboard.rendering import renderer
from dashboard.web.callbacks import CheckedCallbacks, registered
from dashboard.web.headers import SecureHeaders
from dashboard.web.statics import CompressedStatics
from dashboard.wiring import Wiring
from watchkeeper.errors import WatchkeeperError

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
    sources: Sources,
    pages: Pages,
    who: commands.Who = lambda: None,
    lacks: Callable[[str], str] = lambda _scope: "",
) -> None:
    """Add every page, and the callbacks behind them, to `app`. Call it once, after the app's own routes.

    `who` names the person of the request that is being answered, None if there is no session: then the pages can be
    read, and no command can be given. `lacks` is why that person may not do what needs a further scope, empty if they
    may.
    """
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
    dash.layout = shell.layout(pages)
    wiring = Wiring(dash=dash, sources=sources, who=who, lacks=lacks)
    _connect_frame(wiring)
    _connect_page(wiring, pages)
    for part in (
        direct, resolve, judge, note, approve, handover, answer, reopen, experiment, decide, postmortem, status, board,
        severity, rota, override,
    ):  # fmt: skip
        part.connect(wiring)
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
        notice = commands.failed(error)
    else:
        structlog.get_logger().error("dashboard.callback_failed", error=repr(error), exc_info=error)
        notice = commands.Notice(title="Command failed", message=DEFECT, good=False)
    set_props("notices", {"sendNotifications": notice.shown()})


def _connect_frame(wiring: Wiring) -> None:
    """What the browser does by itself: page.js has a function of each name."""
    client = wiring.client
    client("tick", Output("tick", "data"), Input("clock", "n_intervals"))
    client("refresh", Output("shown", "data"), Input("fresh", "data"))
    client("viewer", Output("viewer", "data"), Input("scheme", "n_clicks"), at_first=True)
    client("scheme", Output("theme", "forceColorScheme"), Input("viewer", "data"))
    client("schemeWords", Output("scheme-mark", "className"), Output("scheme", "aria-label"), Input("viewer", "data"))
    client("range", Output("url", "search"), Input("range", "value"), State("url", "search"))
    client(
        "search",
        Output("url", "pathname"),
        Output("url", "search", allow_duplicate=True),
        Output("search", "value"),
        Input("search", "value"),
    )
    client("title", Output("nav-open", "children"), Output("tab-open", "children"), Input("pulse", "data"))
    client("opened", Output("help", "opened"), Input("keys", "n_clicks"))
    for dialog in (
        "resolve",
        "judge",
        "note",
        "approve",
        "handover",
        "severity",
        "answer",
        "reopen",
        "experiment",
        "postpone",
        "postmortem",
        "action",
        "entry",
        "status",
        "board",
        "rota",
        "override",
    ):
        closed = Output(f"{dialog}-dialog", "opened", allow_duplicate=True)
        client("closed", closed, Input(f"{dialog}-cancel", "n_clicks"))
    notices = Output("notices", "sendNotifications", allow_duplicate=True)
    client("share", notices, Input("share", "n_clicks"), State("pulse", "data"))
    address = Output("url", "search", allow_duplicate=True)
    client("point", address, Input({"plot": ALL}, "clickData"), State("url", "search"))
    client("row", address, Input("map", "tapNodeData"), State("url", "search"))
    client("zoom", address, Input({"plot": ALL}, "relayoutData"), State("url", "search"))
    client("durations", address, Input({"plot": "duration-map"}, "selectedData"), State("url", "search"))


def _connect_page(wiring: Wiring, pages: Pages) -> None:
    wiring.server(
        renderer(pages, wiring.sources, wiring.who),
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
    )
