"""The open incidents at the top of the overview, and what stands there while there is none."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.commands import command_button
from dashboard.components.elements import Part, facts, moment
from dashboard.components.incident_words import (
    cause,
    is_unanswered,
    lasted,
    link,
    may_be_taken,
    opened_by,
    owner,
    state_pills,
    urgency,
)
from dashboard.components.wording import count
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.errors import StoreError


def open_incidents(sources: Sources, viewer: Viewer) -> Part:
    """Every open incident, the most urgent first; or since when there is none."""
    incidents = sources.records.newest()
    opened = sorted((i for i in incidents if i.is_open), key=urgency)
    if not opened:
        return _quiet(sources, incidents, viewer)
    unanswered = sum(1 for i in opened if is_unanswered(i))
    words = f"{count(len(opened), 'open incident')}" + (f", {unanswered} unanswered" if unanswered else "")
    return html.Section(
        [
            html.Div([html.H2(words), dcc.Link("All incidents", href="/incidents")], className="card-head"),
            html.Div([_incident(i, sources, viewer) for i in opened], className="open-incidents"),
        ],
        **{"aria-label": "Open incidents"},
    )


def _incident(incident: Incident, sources: Sources, viewer: Viewer) -> Part:
    tone = "failing" if is_unanswered(incident) else "unknown" if incident.severity == "ticket" else "accent"
    opener = opened_by(incident)
    record = html.Div(sources.records.track_record(opener), className="reason") if opener else None
    return html.Article(
        [
            html.Div(
                [
                    html.H3(link(incident)),
                    html.Div(
                        [*state_pills(incident), html.Span(incident.id, className="muted mono")], className="line"
                    ),
                    record,
                ],
                className="open-what",
            ),
            facts(("Cause", cause(incident)), ("Who", owner(incident, viewer, sources.people))),
            facts(
                ("Since", html.Span([moment(incident.onset, viewer), f", {lasted(incident, viewer)}"])),
                ("Services", ", ".join(sorted(incident.services))),
            ),
            html.Div(
                [
                    command_button("acknowledge", incident, small=True) if may_be_taken(incident) else None,
                    command_button("resolve", incident, small=True) if incident.human_state == "acknowledged" else None,
                ],
                className="open-actions",
            ),
        ],
        className=f"open-incident {tone}",
        tabIndex=0,
        **{"data-row": incident.id},
    )


def _quiet(sources: Sources, incidents: Sequence[Incident], viewer: Viewer) -> Part:
    """`All quiet` is shown only while the watch role judges fresh telemetry."""
    try:
        unjudged = sources.itself.unjudged()
    except StoreError as error:
        unjudged = f"the store cannot be read: {error.message}"
    if unjudged:
        start, find = html.Code("watchkeeper up"), html.Code("watchkeeper doctor")
        lines = [
            html.H2("No open incident, but no service is judged"),
            html.P(f"Watchkeeper judges no service at the moment: {unjudged}."),
            html.P(["Start it with ", start, ". Run ", find, " to see the cause."]),
        ]
        return html.Section([_mark("?", "unknown"), html.Div(lines)], className="quiet unknown")
    since = max((i.resolved_at for i in incidents if i.resolved_at), default=None)
    lines = [
        html.H2(["All quiet since ", moment(since, viewer)] if since else "All quiet"),
        html.P(
            f"No incident for {duration(viewer.now - since)}."
            if since
            else "No incident so far. The detectors judge every service below continuously."
        ),
    ]
    return html.Section([_mark("●", "ok"), html.Div(lines)], className="quiet ok", role="status")


def _mark(text: str, tone: str) -> Part:
    return html.Span(text, className=f"quiet-mark {tone}", **{"aria-hidden": "true"})
