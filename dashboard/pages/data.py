"""Data: what arrives from whom, how late, what it costs, what was refused, and who has stopped sending."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dash import dcc, html

from collectors.ingest_log.quarantine import Quarantined
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, moment, note, pill, plot, table
from dashboard.components.metric_dictionary import MANY_VALUES, numerous
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count, listed, milliseconds, per_second, percent, size
from dashboard.figures.arrivals import arrivals_figure
from dashboard.page import Page, PageRequest
from dashboard.reads.arrivals import SIGNALS, Arrived, Source
from dashboard.reads.happenings import happenings
from watchkeeper.durations import duration

SHOWN = 50
LATE_MS = 60_000.0  # later than this, detectors would have judged without it


def render(request: PageRequest) -> Part:
    """Data: what arrives from whom, how late, what it costs, what was refused, and who has stopped sending."""
    return [
        html.H1("Data"),
        note(request.view.problem),
        attempt("What arrives", lambda: _arriving(request)),
        html.Div(
            [
                html.Div(
                    [
                        attempt("Who has stopped", lambda: _stopped(request)),
                        attempt("What was refused", lambda: _refused(request)),
                    ],
                    className="half stack",
                ),
                html.Div(
                    [
                        attempt("What is too numerous", lambda: _numerous(request)),
                        attempt("What is stored", lambda: _stored(request)),
                    ],
                    className="half stack",
                ),
            ],
            className="columns even",
        ),
        attempt("The sources", lambda: _sources(request)),
    ]


def _arriving(request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    window, step_s = view.window(viewer.now), max(60, view.step_s(viewer.now))
    arrived = request.sources.arrivals.arrived(window, step_s)
    if not arrived:
        advice = "Choose a longer time range above, or send OTLP to the ingest role: see `watchkeeper doctor`."
        return card("Arriving", empty("Nothing arrived in this time range", advice))
    seconds = window.seconds
    rows = [_signal(signal, [one for one in arrived if one.signal == signal], seconds) for signal in SIGNALS]
    words = listed([f"{signal} {per_second(_rows(arrived, signal) / seconds)}" for signal in SIGNALS])
    heads = ["Signal", "Rows", "Rate", "Bytes", "Bytes a day, at this rate", "Lag, mean", "Lag, longest"]
    return card(
        "Arriving",
        plot(
            "arrivals",
            arrivals_figure(arrived, viewer, window, step_s, happenings(request.sources, window)),
            f"Arriving: {words}",
            reads=("arrived",),
        ),
        table(heads, rows, caption="What arrived in this time range, by signal", numbers=heads[1:]),
        html.P(
            "Counted by the minute in which the store took it. Lag is from a row's own time to that minute; "
            "bytes are those before compression.",
            className="hint",
        ),
    )


def _rows(arrived: Sequence[Arrived], signal: str) -> int:
    return sum(one.rows for one in arrived if one.signal == signal)


def _signal(signal: str, arrived: Sequence[Arrived], seconds: float) -> Part:
    rows, weight = sum(one.rows for one in arrived), sum(one.bytes for one in arrived)
    lag = sum(one.lag_ms_mean * one.rows for one in arrived) / rows if rows else None
    longest = max((one.lag_ms_max for one in arrived), default=None)
    late = longest is not None and longest > LATE_MS
    cells = (
        f"{rows:,}",
        per_second(rows / seconds),
        size(weight),
        size(weight / seconds * 86_400),
        _lag(lag),
        [pill("late", "degraded", "▲"), f" {_lag(longest)}"] if late else _lag(longest),
    )
    return html.Tr([html.Th(signal, scope="row"), *(html.Td(cell, className="number") for cell in cells)])


def _lag(ms: float | None) -> str:
    return milliseconds(ms) if ms is None or ms < 60_000 else duration(round(ms / 1000))


def _stopped(request: PageRequest) -> Part:
    viewer = request.viewer
    stopped = request.sources.arrivals.stopped(viewer.now)
    if not stopped:
        body: Part = html.P("Everything that came in the last week still comes.", className="muted")
    else:
        rows = [
            html.Tr(
                [
                    html.Th(
                        dcc.Link(one.service, href=request.view.link("/services", service=one.service)), scope="row"
                    ),
                    html.Td(f"no {one.signal}"),
                    html.Td([moment(one.newest, viewer), " (", moment(one.newest, viewer, relative=True), ")"]),
                ]
            )
            for one in stopped[:SHOWN]
        ]
        body = table(["Service", "What", "Since"], rows, caption="Services that have stopped sending, newest first")
    return card("Nothing arrives any more", body, aside=count(len(stopped), "signal") if stopped else None)


def _refused(request: PageRequest) -> Part:
    refused = request.sources.arrivals.refused()
    problems = [problem for role, problem in request.sources.itself.problems() if role == "ingest"]
    parts: list[Part] = []
    if refused:
        parts.append(html.Ul([_quarantined(one, request) for one in refused[:10]], className="events stacked"))
    if problems:
        items = [
            html.Li(
                [
                    html.Strong(f"{problem.loop}: {problem.subject}"),
                    html.Div(problem.reason),
                    html.Div(
                        [
                            f"{problem.count}×, last ",
                            moment(datetime.fromtimestamp(problem.last_at, UTC), request.viewer),
                        ],
                        className="muted",
                    ),
                ]
            )
            for problem in problems[:10]
        ]
        parts.append(html.Ul(items, className="events stacked"))
    if not parts:
        parts.append(html.P("The store took everything, and the ingest role set nothing aside.", className="muted"))
    return card("Refused", *parts, aside=count(len(refused), "segment") + " in quarantine" if refused else None)


def _quarantined(one: Quarantined, request: PageRequest) -> Part:
    at = datetime.fromtimestamp(one.refused_at, UTC)
    return html.Li(
        [
            html.Strong(one.subject),
            html.Div([moment(at, request.viewer), f", {count(one.requests, 'request')}, {size(one.size)}"]),
            html.Div(f"The store answered: {one.reason}", className="bad"),
            html.Div(
                [
                    "Change what sends it, then retry: ",
                    html.Code(f"watchkeeper ingest refused retry {one.name}"),
                    ". To see it: ",
                    html.Code(f"watchkeeper ingest refused show {one.name}"),
                ]
            ),
        ]
    )


def _numerous(request: PageRequest) -> Part:
    view, window = request.view, request.view.window(request.viewer.now)
    dictionary = request.sources.metrics.dictionary(window)[:10]
    labels = request.sources.arrivals.numerous(window, MANY_VALUES)[:20]
    if not dictionary:
        return card("Cardinality", html.P("No metric arrived in this time range.", className="muted"))
    metrics = [
        html.Tr(
            [
                html.Th(dcc.Link(one.name, href=view.link("/explore", metric=one.name)), scope="row"),
                html.Td(
                    [
                        numerous(one),
                        f" {one.series:,}",
                    ],
                    className="number",
                ),
                html.Td(f"{one.services:,}", className="number"),
            ]
        )
        for one in dictionary
    ]
    found = [
        html.Tr(
            [
                html.Th(one.label, scope="row"),
                html.Td(dcc.Link(one.metric, href=view.link("/explore", metric=one.metric, by=one.label))),
                html.Td(f"{one.distinct:,}", className="number"),
            ]
        )
        for one in labels
    ]
    return card(
        "Cardinality",
        table(
            ["Metric", "Series", "Services"],
            metrics,
            caption="Metrics with most series",
            numbers=["Series", "Services"],
        ),
        html.H3("Labels with many values", className="data-heading"),
        table(["Label", "Metric", "Values"], found, caption="Labels with many values", numbers=["Values"])
        if found
        else html.P(f"No label has {MANY_VALUES} values or more.", className="muted"),
    )


def _stored(request: PageRequest) -> Part:
    stored = request.sources.arrivals.stored()
    total = sum(one.disk_bytes for one in stored)
    rows = [
        html.Tr(
            [
                html.Th(one.signal, scope="row"),
                html.Td(size(one.disk_bytes), className="number"),
                html.Td(percent(one.disk_bytes / total) if total else "–", className="number"),
                html.Td(f"{one.rows:,}", className="number"),
                html.Td(f"{one.disk_bytes / one.rows:,.0f} B" if one.rows else "–", className="number"),
            ]
        )
        for one in stored
    ]
    heads = ["Tables", "On disk", "Share", "Rows", "A row"]
    days = f"{request.sources.config.store.retention_days:g} days"
    return card(
        "Stored",
        table(heads, rows, caption="What the tables take on disk", numbers=heads[1:]),
        aside=f"kept for {days} (store.retention_days)",
    )


def _sources(request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    window = view.window(viewer.now)
    sources = request.sources.arrivals.sources(window)
    wanted = view.words.casefold().split()
    hits = [one for one in sources if all(word in _text(one) for word in wanted)]
    hits = [one for one in hits if not view.service or one.service == view.service]
    total = sum(one.bytes for one in sources) or 1
    disk = {one.signal: one.disk_bytes / (one.memory_bytes or 1) for one in request.sources.arrivals.stored()}
    form = query_form(view, [Field(name="q", label="Words", placeholder="service, signal, SDK, scope", wide=True)])
    if not hits:
        named = f" about {view.words!r}" if wanted else ""
        body: Part = empty(f"No source{named} in this time range", "Choose other words, or a longer time range above.")
    else:
        rows = [_source(one, request, total, disk.get(one.signal), window.seconds) for one in hits[:SHOWN]]
        heads = [
            "Service",
            "Signal",
            "Rate",
            "Bytes",
            "Share",
            "On disk a day",
            "Lag",
            "SDK",
            "Instrumentation",
            "Newest",
        ]
        numbers = ["Rate", "Bytes", "Share", "On disk a day", "Lag"]
        body = table(heads, rows, caption="Who sends what, most bytes first", numbers=numbers)
    more = f"the {SHOWN} with most bytes are shown" if len(hits) > SHOWN else "most bytes first"
    only = (
        html.P(["Only ", html.Strong(view.service), ". ", dcc.Link("All services", href=view.link(service=None))])
        if view.service
        else None
    )
    return card("Sources", form, only, body, aside=f"{count(len(hits), 'source')}, {more}")


def _source(one: Source, request: PageRequest, total: int, ratio: float | None, seconds: float) -> Part:
    view, viewer = request.view, request.viewer
    scopes = ", ".join(one.scopes[:2]) + (f" and {len(one.scopes) - 2} more" if len(one.scopes) > 2 else "")
    return html.Tr(
        [
            html.Th(dcc.Link(one.service, href=view.link("/services", service=one.service)), scope="row"),
            html.Td(one.signal),
            html.Td(per_second(one.rows / seconds), className="number"),
            html.Td(size(one.bytes), className="number"),
            html.Td(percent(one.bytes / total), className="number"),
            html.Td(size(one.bytes * ratio / seconds * 86_400) if ratio else "–", className="number"),
            html.Td(_lag(one.lag_ms_mean), className="number"),
            html.Td(", ".join(one.sdks) or "not named"),
            html.Td(scopes or "not named", title=", ".join(one.scopes)),
            html.Td(moment(one.newest, viewer, relative=True)),
        ],
        tabIndex=0,
        **{"data-row": f"{one.service} {one.signal}"},
    )


def _text(one: Source) -> str:
    return " ".join((one.service, one.signal, *one.sdks, *one.scopes)).casefold()


PAGE = Page(path="/data", title="Data", render=render, order=80, key="d", section="Platform")
