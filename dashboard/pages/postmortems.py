"""Postmortems, searched, and the action items of all of them."""

from __future__ import annotations

from dash import dcc, html

from alerting.postmortems.document import STATES
from alerting.postmortems.revisions import Stored
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, moment, table
from dashboard.components.postmortems import actions_card, state_pill
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.page import Page, PageRequest
from dashboard.urls import postmortem_path
from dashboard.viewer import Viewer


def render(request: PageRequest) -> Part:
    """Postmortems, searched by words and state, and the action items of all of them."""
    sources, view, viewer = request.sources, request.view, request.viewer
    state = view.state if view.state in STATES else ""
    hits = sources.postmortems.search(view.words, state)
    states = choices(*(choice_link(name or "all", view.link(state=name), on=name == state) for name in ("", *STATES)))
    search = query_form(view, [Field(name="q", label="Words", placeholder="Search postmortems", wide=True)])
    if hits:
        rows = [_row(one, viewer) for one in hits]
        body = table(["Postmortem", "State", "Service", "Changed"], rows, caption="Postmortems, newest change first")
    elif view.words or state:
        body = empty("No such postmortem", "Choose other words, or another state above.")
    else:
        body = empty("No postmortem yet", "Resolving a page drafts one.")
    return [
        html.Div([html.H1("Postmortems"), states], className="page-head"),
        card("Newest change first", search, body, aside=count(len(hits), "postmortem")),
        actions_card(sources.actions.list(), sources.config.oncall, viewer),
    ]


def _row(stored: Stored, viewer: Viewer) -> Part:
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(stored.title, href=postmortem_path(stored.incident_id)),
                    html.Div(stored.incident_id, className="muted mono"),
                ],
                scope="row",
            ),
            html.Td(state_pill(stored)),
            html.Td(stored.service),
            html.Td(moment(stored.updated_at, viewer)),
        ],
        tabIndex=0,
    )


PAGE = Page(path="/postmortems", title="Postmortems", render=render, order=45, section="Respond", key="m")
