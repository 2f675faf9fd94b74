"""Runbooks: approvals and questions that wait, what each runbook does and has proved, and the journal of runs."""

from __future__ import annotations

from typing import Final

from dash import dcc, html

from alerting.incidents.machine import Incident
from alerting.incidents.questions import open_questions
from dashboard.commands import command_button
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, facts, moment, note, pill
from dashboard.components.proposal import proposal_facts
from dashboard.components.questions import question_cards
from dashboard.components.runbook_runs import runs_card
from dashboard.components.runbook_shelf import BOOK, book_card, shelf_card
from dashboard.components.wording import count
from dashboard.page import Page, PageRequest
from dashboard.urls import incident_path
from watchkeeper.text import prose, seen_name

RUNS: Final = 30
OPEN: Final = 200
WAITING: Final = 6  # cards at once


def render(request: PageRequest) -> Part:
    """Approvals that wait, every runbook with its plan and proof, and the journal of runs."""
    return [
        html.H1("Runbooks"),
        attempt("The global stop", lambda: _stop(request)),
        attempt("What waits for approval", lambda: _waiting(request)),
        attempt("The runbooks", lambda: _shelf(request)),
        attempt("The runs", lambda: runs_card(request.sources.runbooks.runs(RUNS), request.viewer)),
    ]


def _stop(request: PageRequest) -> Part:
    stop = request.sources.runbooks.stop()
    if stop is None:
        return html.Div()
    return html.Div(
        [
            html.Strong("Everything is stopped. "),
            f"{seen_name(stop.actor)} stopped it ",
            moment(stop.at, request.viewer, relative=True),
            f": {prose(stop.reason)}. No runbook begins without a human until ",
            html.Code("watchkeeper runbook resume"),
            ".",
        ],
        className="note",
        role="status",
    )


def _waiting(request: PageRequest) -> Part:
    """A card for each proposal that a human may approve now, and for each question of a run."""
    incidents = request.sources.records.open(OPEN)
    waiting = [one for one in incidents if _waits(one)]
    asking = [one for one in incidents if open_questions(one.questions)]
    if not waiting and not asking:
        return card("Approvals", html.P("Nothing waits for approval.", className="muted"))
    rest = len(waiting) + len(asking) - 2 * WAITING
    cards = [_approval(one, request) for one in waiting[:WAITING]]
    for incident in asking[:WAITING]:
        cards += question_cards(incident, request.viewer)
    more = html.P([f"{count(rest, 'more')} at ", dcc.Link("the incidents", href="/incidents?state=open"), "."])
    return [*cards, more if rest > 0 else None]


def _waits(incident: Incident) -> bool:
    proposal = incident.proposal
    return incident.proposal_state == "proposed" and proposal is not None and not proposal.blocked


def _approval(incident: Incident, request: PageRequest) -> Part:
    proposal = incident.proposal
    if proposal is None:
        return None
    since = (
        html.Span(["proposed ", moment(incident.proposed_at, request.viewer, relative=True)])
        if incident.proposed_at
        else None
    )
    return card(
        prose(proposal.title),
        html.P(dcc.Link(incident.title, href=incident_path(incident.id))),
        html.Ol([html.Li(prose(step)) for step in proposal.steps], className="steps"),
        facts(*proposal_facts(incident)),
        html.Div(
            [command_button("approve", incident), command_button("decline", incident, quiet=True)], className="actions"
        ),
        aside=html.Span([pill("waits for approval", "degraded", "?"), " ", since], className="line"),
        kind="proposal",
    )


def _shelf(request: PageRequest) -> Part:
    library = request.sources.runbooks.library()
    notes = [note(f"Not read: {problem}") for problem in request.sources.runbooks.problems()]
    book = library.books.get(request.view.choice(BOOK))
    chosen = book_card(request, book, library) if book else None
    return [*notes, shelf_card(request, library), chosen]


PAGE = Page(path="/runbooks", title="Runbooks", render=render, order=44, section="Respond", key="r")
