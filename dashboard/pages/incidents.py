"""Every incident, newest first, with filters by state and severity."""

from __future__ import annotations

from collections.abc import Mapping

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, moment, table
from dashboard.components.incident_words import cause, cause_text, lasted, link, owner, state_pills
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.page import Page, PageRequest
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import LEVELS

STATES = (("", "All"), ("open", "Open"), ("resolved", "Resolved"))
SEVERITIES = (
    ("", "Pages and tickets"),
    ("page", "Pages"),
    ("ticket", "Tickets"),
    *((level, level) for level in LEVELS),
)


def render(request: PageRequest) -> Part:
    """Every incident, newest first, with filters by state and severity."""
    sources, view, viewer = request.sources, request.view, request.viewer
    severity = view.severity if view.severity in dict(SEVERITIES) else ""
    newest = sources.records.newest(severity=severity or None)
    shown = [i for i in newest if not view.state or (view.state == "open") == i.is_open]
    wanted = view.words.casefold().split()
    shown = [i for i in shown if all(word in _text(i, sources.people).casefold() for word in wanted)]
    shown_ones = choices(
        *(
            choice_link(words, view.link(**{name: value}), on=chosen == value)
            for name, chosen, filters in (("state", view.state, STATES), ("severity", severity, SEVERITIES))
            for value, words in filters
        )
    )
    if not newest and not severity:
        body: Part = empty(
            "No incident so far",
            "When a detector reports harm to users, an incident opens here with its likely cause.",
        )
    elif not shown:
        about = f" about {view.words!r}" if wanted else ""
        body = empty(f"No {view.state} {severity} incident{about}".replace("  ", " "), "Choose another filter above.")
    else:
        body = table(
            ["Incident", "State", "Likely cause", "Who", "Onset", "Lasted"],
            [_row(i, viewer, sources.people) for i in shown],
            caption="Incidents, newest first",
        )
    return [
        html.Div([html.H1("Incidents"), shown_ones], className="page-head"),
        query_form(view, [Field(name="q", label="Words", placeholder="service, cause, person, id", wide=True)]),
        card("Newest first", body, aside=count(len(shown), "incident")),
    ]


def _text(incident: Incident, people: Mapping[str, str]) -> str:
    """What the words of a search are looked for in."""
    holder = incident.acknowledged_by.name if incident.acknowledged_by else ""
    who = f"{holder} {people.get(incident.paged_person, '')} {people.get(incident.assigned_to, '')}"
    return f"{incident.id} {incident.title} {cause_text(incident)} {who}"


def _row(incident: Incident, viewer: Viewer, people: Mapping[str, str]) -> Part:
    return html.Tr(
        [
            html.Th([link(incident), html.Div(incident.id, className="muted mono")], scope="row"),
            html.Td(html.Div(state_pills(incident), className="line")),
            html.Td(cause(incident)),
            html.Td(owner(incident, viewer, people)),
            html.Td(moment(incident.onset, viewer)),
            html.Td(lasted(incident, viewer)),
        ],
        tabIndex=0,
        **{"data-row": incident.id},
    )


PAGE = Page(path="/incidents", title="Incidents", render=render, order=20, section="Now", key="i")
