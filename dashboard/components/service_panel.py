"""One service under the map: its plots, neighbours, incidents, changes, operations, requests and log lines."""

from __future__ import annotations

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, health_pill
from dashboard.components.notable_requests import notable_requests
from dashboard.components.service_detectors import detectors_card
from dashboard.components.service_history import changes_card, concerning, incidents_card
from dashboard.components.service_logs import log_lines_card
from dashboard.components.service_neighbours import calls_card
from dashboard.components.service_requests import marks_of, operations_card, requests_card
from dashboard.reads.fleet import Member
from dashboard.reads.sources import Sources
from dashboard.urls import View, service_path
from dashboard.viewer import Viewer


def service_panel(sources: Sources, name: str, member: Member, view: View, viewer: Viewer) -> Part:
    """The panel of a chosen service, over the time range of the page."""
    window = view.window(viewer.now)
    changes, incidents = concerning(sources, name, window)
    reported = sources.records.reported(name, window)
    series = sources.traffic.red_of(window, view.step_s(viewer.now), name)
    lower = {
        "half": [
            attempt("The operations", lambda: operations_card(sources, name, window)),
            attempt("The notable requests", lambda: notable_requests(sources, name, window, viewer)),
        ],
        "wide": [attempt("The log lines", lambda: log_lines_card(sources, name, window, viewer))],
    }
    side = [
        calls_card(sources, name, window, view),
        attempt("The detectors’ record", lambda: detectors_card(sources, name)),
        incidents_card(incidents),
        changes_card(changes, viewer),
    ]
    marks = [*marks_of(changes, incidents)]
    plots = html.Div(requests_card(series, member.recent, viewer, marks, reported), className="wide")
    return html.Section(
        [
            _head(name, member, view),
            html.Div([plots, html.Div(side, className="narrow")], className="columns"),
            *[
                html.Div([html.Div(part, className=width) for part in parts], className="columns even")
                for width, parts in lower.items()
            ],
        ],
        className="panel",
        id="service-panel",
        **{"aria-label": f"Service {name}"},
    )


def _head(name: str, member: Member, view: View) -> Part:
    return html.Div(
        [
            html.H2([name, " ", health_pill(member.health)]),
            html.Span(member.health.reason, className="muted"),
            dcc.Link("Instances, logs, metrics", href=view.link(service_path(name), service=None)),
            dcc.Link("Close", href=view.link(service=None), className="close", title="Esc"),
        ],
        className="page-head",
    )
