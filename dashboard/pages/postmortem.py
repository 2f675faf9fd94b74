"""One postmortem: what people wrote, the timeline, the action items, and its history."""

from __future__ import annotations

from urllib.parse import quote

from dash import html

from dashboard.components.elements import Part, card, empty
from dashboard.components.postmortems import (
    actions_card,
    form_button,
    history_card,
    incident_link,
    judgement,
    page_actions,
    state_pill,
    timeline,
    written,
)
from dashboard.page import Page, PageRequest
from watchkeeper.errors import NotFound


def render(request: PageRequest) -> Part:
    """One postmortem: what people wrote, the timeline, the action items, and its history."""
    sources, viewer = request.sources, request.viewer
    try:
        report = sources.postmortems.report(request.argument, facts=False)
    except NotFound as error:
        return [html.H1("No such postmortem"), empty(f"There is no postmortem of {request.argument}", error.message)]
    stored = report.stored
    return [
        html.Div(
            [
                html.Div(
                    [
                        html.H1(stored.title),
                        html.Div(
                            [
                                state_pill(stored),
                                html.Span(f"revision {stored.version}", className="muted"),
                                incident_link(stored),
                            ],
                            className="line",
                        ),
                    ]
                ),
                html.Div(page_actions(stored), className="actions"),
            ],
            className="page-head incident-head",
        ),
        html.Div(
            [
                html.Div([written(report), timeline(report, request.view, viewer)], className="wide"),
                html.Div(
                    [
                        *judgement(report),
                        actions_card(
                            report.actions, sources.config.oncall, viewer, form_button("action", "Add one", stored)
                        ),
                        _files(stored.incident_id, published=stored.published is not None),
                        history_card(sources.postmortems.history(stored.incident_id), viewer),
                    ],
                    className="narrow",
                ),
            ],
            className="columns",
        ),
    ]


def _files(incident_id: str, *, published: bool) -> Part:
    """The document as files: as it stands, and as it was published."""
    address = f"/api/v1/postmortems/{quote(incident_id, safe='')}/text"
    links = [("HTML", f"{address}?form=html"), ("Markdown", address)]
    if published:
        links += [
            ("Published HTML", f"{address}?form=html&published=true"),
            ("Published Markdown", f"{address}?published=true"),
        ]
    return card(
        "Files", html.Div([html.A(words, href=href, target="_blank") for words, href in links], className="line")
    )


PAGE = Page(path="/postmortems/{argument}", title="Postmortem of {argument}", render=render, under="/postmortems")
