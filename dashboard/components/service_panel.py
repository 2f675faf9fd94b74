"""One service under the map: its plots, neighbours, incidents, changes, operations, requests and log lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, facts, health_pill, moment, pill, plot, table
from dashboard.components.incident_words import cause_text, link, state_pills
from dashboard.components.notable_requests import notable_requests
from dashboard.components.wording import milliseconds, per_second, percent
from dashboard.figures.frame import Moment
from dashboard.figures.red import red_figure
from dashboard.figures.topology import Call
from dashboard.reads.fleet import Member
from dashboard.reads.sources import Sources
from dashboard.urls import View, lately, trace_path
from dashboard.viewer import Viewer
from detectors.learning.track_record import all_records
from watchkeeper.vocabulary import ChangeEvent, Window

STAGES = {
    "learning": ("learning", "unknown", "?"),
    "level": ("level baseline ready", "ok", "◐"),
    "ready": ("baseline ready", "ok", "●"),
}


def service_panel(sources: Sources, name: str, member: Member, view: View, viewer: Viewer) -> Part:
    """The panel of a chosen service, over the time range of the page."""
    window = view.window(viewer.now)
    changes = [change for change in sources.records.changes(window) if change.service == name]
    incidents = [i for i in sources.records.newest() if name in {i.service, *(f.service for f in i.findings)}]
    lower = {
        "half": [
            attempt("The operations", lambda: _operations(sources, name, window)),
            attempt("The notable requests", lambda: notable_requests(sources, name, window, viewer)),
        ],
        "wide": [attempt("The log lines", lambda: _logs(sources, name, window, viewer))],
    }
    side = [
        _neighbours(sources, name, window, view),
        attempt("The detectors’ record", lambda: _records(sources, name)),
        _incidents(incidents),
        _changes(changes, viewer),
    ]
    plots = html.Div(_plots(name, member, [*_marks(changes, incidents)], viewer), className="wide")
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
            dcc.Link("Close", href=view.link(service=None), className="close", title="Esc"),
        ],
        className="page-head",
    )


def _marks(changes: Sequence[ChangeEvent], incidents: Sequence[Incident]) -> Iterator[Moment]:
    for change in changes:
        yield Moment(at=change.at, text=f"{change.kind} {change.version}".strip(), kind="change")
    for incident in incidents:
        yield Moment(at=incident.onset, text="onset", kind="onset")


def _plots(name: str, member: Member, marks: Sequence[Moment], viewer: Viewer) -> Part:
    recent = member.recent
    summary = (
        f"{name} serves {per_second(recent.per_second)}, of which {percent(recent.error_ratio)} fail, "
        f"with a p95 latency of {milliseconds(recent.p95_ms)}"
    )
    figure = plot("red", red_figure(member.series, viewer, marks), summary)
    return card("Requests, failures and latency", figure, level=3)


def _incidents(incidents: Sequence[Incident]) -> Part:
    if not incidents:
        return card("Incidents", html.P("None among the newest incidents.", className="muted"), level=3)
    items = [
        html.Li([link(i), html.Span([*state_pills(i), f" {cause_text(i)}"], className="line")]) for i in incidents[:5]
    ]
    opened = sum(incident.is_open for incident in incidents)
    return card("Incidents", html.Ul(items, className="events stacked"), aside=f"{opened} open", level=3)


def _changes(changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    if not changes:
        return card("Changes", html.P("None in this time range.", className="muted"), level=3)
    items = [html.Li([moment(c.at, viewer), html.Span(f"{c.kind}: {c.title}")]) for c in changes[:8]]
    return card("Changes", html.Ul(items, className="events"), level=3)


def _neighbours(sources: Sources, name: str, window: Window, view: View) -> Part:
    calls = sources.traffic.calls(lately(window))

    def names(pairs: list[tuple[str, str]]) -> Part:
        parts: list[Part] = []
        for other, words in pairs:
            parts += [html.Li([dcc.Link(other, href=view.link(service=other)), html.Span(words, className="muted")])]
        return html.Ul(parts, className="events") if parts else html.Span("none", className="muted")

    def words(call: Call) -> str:
        return f"{per_second(call.per_second)}, {percent(call.error_ratio)} failed, {milliseconds(call.mean_ms)}"

    return card(
        "Calls",
        facts(
            ("Called by", names([(c.caller, words(c)) for c in calls if c.callee == name])),
            ("Calls", names([(c.callee, words(c)) for c in calls if c.caller == name])),
        ),
        level=3,
    )


def _records(sources: Sources, name: str) -> Part:
    """Whether the detectors' baselines of this service are ready, and how often each detector was right on it."""
    stage = _stage(sources, name)
    records = [record for record in all_records(sources.records.labelled()) if record.service == name]
    if not records:
        return card(
            "Detectors here",
            stage,
            html.P("No detector has been judged on this service yet. Labels judge them.", className="muted"),
            level=3,
        )
    sentences = html.Ul([html.Li(html.Span(record.sentence())) for record in records[:6]], className="events stacked")
    return card("Detectors here", stage, sentences, level=3)


def _stage(sources: Sources, name: str) -> Part:
    readiness = sources.records.readiness().get(name)
    if readiness is None:
        return html.P([pill("unknown", "unknown", "?"), " no detector has seen it yet"])
    return html.P([pill(*STAGES[readiness.stage]), f" {readiness.reason}"])


def _operations(sources: Sources, name: str, window: Window) -> Part:
    operations = sources.traffic.operations(window, name)
    if not operations:
        return card("Operations", html.P("It served no request in this time range.", className="muted"), level=3)
    rows = [
        html.Tr(
            [
                html.Th(o.name, scope="row", className="mono"),
                html.Td(f"{o.calls:,.0f}", className="number"),
                html.Td(percent(o.error_ratio), className="number bad" if o.error_ratio > 0.01 else "number"),
                html.Td(milliseconds(o.p50_ms), className="number"),
                html.Td(milliseconds(o.p95_ms), className="number"),
                html.Td(milliseconds(o.max_ms), className="number"),
            ]
        )
        for o in operations
    ]
    heads = ["Operation", "Requests", "Failed", "p50", "p95", "Slowest"]
    return card(
        "Operations", table(heads, rows, caption=f"Operations of {name}, busiest first", numbers=heads[1:]), level=3
    )


def _logs(sources: Sources, name: str, window: Window, viewer: Viewer) -> Part:
    near = Window(start=max(window.start, window.end - timedelta(hours=1)), end=window.end)
    lines = sources.traffic.log_lines(near, name)
    if not lines:
        return card("Warnings and errors", html.P("No log line at WARN or above.", className="muted"), level=3)
    items = [
        html.Li(
            [
                moment(line["timestamp"], viewer),
                html.Span(
                    [
                        pill(line["severity"], "failing" if line["severity"] in ("ERROR", "FATAL") else "degraded"),
                        " ",
                        html.Span(str(line["body"])[:300], className="mono"),
                        dcc.Link(" trace", href=trace_path(line["trace_id"]), title=line["trace_id"])
                        if line["trace_id"]
                        else None,
                    ]
                ),
            ]
        )
        for line in lines
    ]
    return card("Warnings and errors", html.Ul(items, className="events"), aside="newest first", level=3)
