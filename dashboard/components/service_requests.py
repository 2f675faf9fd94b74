"""What a service serves: its requests, failures and latency over time, and its operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, plot, table
from dashboard.components.wording import milliseconds, per_second, percent
from dashboard.figures.marks import Moment
from dashboard.figures.red import Band, red_figure
from dashboard.reads.series import RedSeries, Served
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import ChangeEvent, Finding, Window


def requests_card(
    series: RedSeries,
    recent: Served,
    viewer: Viewer,
    marks: Sequence[Moment],
    reported: Sequence[tuple[Finding, datetime | None]],
) -> Part:
    """The plot, with deploys and onsets marked, and shaded where a detector reported something about the service."""
    bands = [Band(start=finding.onset, end=cleared or viewer.now, score=finding.score) for finding, cleared in reported]
    summary = (
        f"{series.service} serves {per_second(recent.per_second)}, of which {percent(recent.error_ratio)} fail, "
        f"with a p95 latency of {milliseconds(recent.p95_ms)}"
    )
    figure = plot("red", red_figure(series, viewer, marks, bands=bands), summary, reads=("red_of",))
    key = html.P("Shaded: a detector reported a finding; the darker, the higher its score.", className="muted key")
    return card("Requests, failures and latency", figure, key if bands else None, level=3)


def marks_of(changes: Sequence[ChangeEvent], incidents: Sequence[Incident]) -> Iterator[Moment]:
    """What to mark on every plot of a service."""
    for change in changes:
        yield Moment(at=change.at, text=f"{change.kind} {change.version}".strip(), kind="change", plural="changes")
    for incident in incidents:
        yield Moment(at=incident.onset, text="onset", kind="onset", plural="onsets")


def operations_card(sources: Sources, name: str, window: Window) -> Part:
    """Each operation with its requests, failures and latency, busiest first."""
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
