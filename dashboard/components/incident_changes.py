"""What changed around an incident's onset: a deploy, a flag, a configuration, a restart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, moment, pill
from dashboard.components.wording import count
from dashboard.page import PageRequest
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.vocabulary import ChangeEvent, Window

BEFORE: Final = timedelta(minutes=30)
AFTER: Final = timedelta(minutes=5)
SHOWN: Final = 3


def changes_near(request: PageRequest, incident: Incident) -> Sequence[ChangeEvent]:
    """What changed from half an hour before the onset until five minutes after it, newest first."""
    window = Window(start=incident.onset - BEFORE, end=incident.onset + AFTER)
    end = incident.resolved_at or request.viewer.now
    return [change for change in request.sources.records.changes(window) if change.at <= end]


def what_changed(incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer, more: Part) -> Part:
    """The changes that matter most, for the first screen: the accused one, then the nearest to the onset."""
    if not changes:
        return card("What changed", html.P("Nothing known in the 30 minutes before the onset.", className="muted"))
    suspected = _suspected(incident)
    nearest = sorted(changes, key=lambda c: (c.id != suspected, abs(c.at - incident.onset)))[:SHOWN]
    items = html.Ul([_change(c, incident, suspected, viewer) for c in nearest], className="events")
    return card("What changed", items, aside=more if len(changes) > SHOWN else count(len(changes), "change"))


def changes_card(incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """All of them."""
    if not changes:
        body: Part = empty(
            "No deploy, flag or configuration change in the 30 minutes before",
            "Changes arrive with the telemetry (service.version) or by POST /api/v1/changes to the ingest role.",
        )
    else:
        body = html.Ul([_change(c, incident, _suspected(incident), viewer) for c in changes], className="events")
    return card("Changes near the onset", body, aside=count(len(changes), "change"))


def _suspected(incident: Incident) -> str | None:
    """The change that the first suspect's evidence names."""
    diagnosis = incident.diagnosis
    return diagnosis.suspects[0].change_id if diagnosis and diagnosis.suspects else None


def _change(change: ChangeEvent, incident: Incident, suspected: str | None, viewer: Viewer) -> Part:
    apart = change.at - incident.onset
    when = f"{duration(abs(apart))} {'after' if apart > timedelta(0) else 'before'} the onset"
    about = " ".join(part for part in (change.version, change.author) if part)
    return html.Li(
        [
            moment(change.at, viewer),
            html.Span(
                [
                    html.Strong(change.service),
                    f" {change.kind}: {change.title}",
                    html.Span(f" {about}, {when}" if about else f" {when}", className="muted"),
                    html.Span([" ", pill("part of the evidence", "failing", "◎")]) if change.id == suspected else None,
                ]
            ),
        ]
    )
