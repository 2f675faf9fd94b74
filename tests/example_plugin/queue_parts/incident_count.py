"""A page that shows which services have most of the incidents."""

from collections import Counter

from dash import html

from dashboard.components.elements import Part, card, empty, facts
from dashboard.page import Page, PageRequest


def render(request: PageRequest) -> Part:
    """How many of the newest incidents each service had."""
    incidents = request.sources.records.newest()
    if not incidents:
        return [html.H1("Incident count"), empty("No incident yet")]
    counts = Counter(incident.service for incident in incidents).most_common()
    rows = [(service, str(number)) for service, number in counts]
    return [html.H1("Incident count"), card(f"The newest {len(incidents)} incidents", facts(*rows))]


PAGE = Page(path="/incident-count", title="Incident count", render=render, order=60)
