"""What was learned from an incident: its labels and its postmortem."""

from __future__ import annotations

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty
from dashboard.components.postmortems import incident_card
from dashboard.components.wording import utc_text
from dashboard.reads.sources import Sources
from watchkeeper.errors import NotFound
from watchkeeper.vocabulary import Label

VERDICTS = {True: "the page was warranted", False: "a false page", None: "page not judged"}


def labels_card(incident: Incident) -> Part:
    """Every label of the incident, with its source and author; None if there is none."""
    if not incident.labels:
        return None
    return card("Labels", html.Ul([_label(label) for label in incident.labels], className="events stacked"))


def _label(label: Label) -> Part:
    words = [
        VERDICTS[label.warranted],
        f"; cause {label.cause}" if label.cause else "",
        f" ({label.mechanism})" if label.mechanism else "",
        f". {label.note}" if label.note else "",
        html.Span(f" {label.author}, {utc_text(label.at)}", className="muted"),
    ]
    return html.Li([html.Span(label.source, className="muted"), html.Span(words)])


def postmortem_card(incident: Incident, sources: Sources) -> Part:
    """The postmortem's state and facts with its editor, or how and when to begin one."""
    try:
        stored = sources.postmortems.get(incident.id)
    except NotFound:
        pass
    else:
        return incident_card(stored, sources.records.postmortem(incident.id), sources.actions.of(incident.id))
    command = html.Code(f"watchkeeper postmortem new {incident.id}")
    when = "It is drafted when somebody resolves the page. " if incident.is_open and incident.severity == "page" else ""
    return card("Postmortem", empty("None yet", html.Span([when, "To draft it, run ", command, "."])))
