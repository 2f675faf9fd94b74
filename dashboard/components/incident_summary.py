"""The first screen of an incident: since when, who has it, who is hurt, why, what changed, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from alerting.incidents.machine import Incident
from alerting.incidents.timeline import label_line
from dashboard.commands import command_button
from dashboard.components.attempts import attempt
from dashboard.components.diagnosis import likely_cause
from dashboard.components.elements import Part, card, facts, folded, moment, pill
from dashboard.components.incident_actions import false_page_button, wrong_cause_button
from dashboard.components.incident_changes import what_changed
from dashboard.components.incident_plots import strongest_plot
from dashboard.components.incident_words import lasted, owner, why_notified
from dashboard.components.proposal import proposal_facts
from dashboard.components.questions import question_cards
from dashboard.components.users_felt import users_felt
from dashboard.components.wording import count
from dashboard.page import PageRequest
from dashboard.viewer import Viewer
from runbooks.preflight import playbooks_for
from watchkeeper.durations import duration
from watchkeeper.vocabulary import ChangeEvent, Proposal

SERVICES = 3
JUDGEMENTS = 2
PROPOSAL_TONES = {
    "done": "ok",
    "failed": "failing",
    "declined": "unknown",
    "proposed": "degraded",
    "cancelled": "unknown",
}


def incident_summary(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> Part:
    """Everything that somebody who was just woken needs, without scrolling on an ordinary screen."""
    return html.Div(
        [
            _glance(request, incident),
            html.Div(
                [
                    html.Div(_cause(request, incident, changes), className="wide"),
                    html.Div(
                        [
                            *question_cards(incident, request.viewer),
                            attempt("What can be done", lambda: _to_do(request, incident)),
                            what_changed(incident, changes, request.viewer, _more(request, len(changes))),
                        ],
                        className="narrow",
                    ),
                ],
                className="columns",
            ),
        ],
        className="incident-summary",
    )


def _glance(request: PageRequest, incident: Incident) -> Part:
    viewer = request.viewer
    cells: list[tuple[str, Part]] = [
        ("Since", _since(incident, viewer)),
        ("Who has it", [owner(incident, viewer, request.sources.people), _first_page(incident)]),
        ("Who is hurt", attempt("What users feel", lambda: users_felt(request, incident))),
        ("Services", _services(request, incident)),
    ]
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in cells], className="glance")


def _since(incident: Incident, viewer: Viewer) -> Part:
    parts: list[Part] = [moment(incident.onset, viewer), f", {lasted(incident, viewer)}"]
    if incident.recovered_at:
        recovered = duration(incident.recovered_at - incident.onset)
        parts.append(html.Div(["recovered ", moment(incident.recovered_at, viewer), f", after {recovered}"]))
    return html.Span(parts)


def _first_page(incident: Incident) -> Part:
    if incident.paged_at is None:
        return None
    delivered = "" if incident.delivered else ", delivery not confirmed"
    return html.Div(
        f"First page {duration(incident.paged_at - incident.onset)} after the onset{delivered}", className="muted"
    )


def _services(request: PageRequest, incident: Incident) -> Part:
    names = sorted(incident.services, key=lambda n: (n != incident.service, n))
    links: list[Part] = []
    for name in names[:SERVICES]:
        links += [", " if links else None, dcc.Link(name, href=request.view.link("/services", service=name))]
    rest = len(names) - SERVICES
    firing = f"{len(incident.firing_keys)} of {count(len(incident.findings), 'finding')} firing"
    return [html.Span([*links, f" and {rest} more" if rest > 0 else None]), html.Div(firing, className="muted")]


def _cause(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> Part:
    figure = attempt(
        "The strongest evidence’s plot", lambda: strongest_plot(request.sources, incident, changes, request.viewer)
    )
    return card(
        "Likely cause",
        *likely_cause(incident, request.view),
        figure,
        _judged(incident),
        _why(incident),
        aside=wrong_cause_button(incident) if incident.diagnosis and incident.diagnosis.suspects else None,
        kind="cause",
    )


def _judged(incident: Incident) -> Part:
    """What people, and experiments, say the cause was: the newest judgements."""
    if not incident.labels:
        return None
    newest = sorted(incident.labels, key=lambda label: label.at, reverse=True)[:JUDGEMENTS]
    return html.Ul(
        [
            html.Li(
                [
                    html.Strong(f"{label.author}: "),
                    label_line(label),
                    html.Span(f". {label.note}") if label.note else None,
                ]
            )
            for label in newest
        ],
        className="plain judged",
    )


def _why(incident: Incident) -> Part:
    """Why somebody was paged, and the way to say that they should not have been."""
    button = false_page_button(incident) if incident.severity == "page" else None
    return folded("Why was I notified?", html.P(why_notified(incident)), html.Div(button, className="actions"))


def _to_do(request: PageRequest, incident: Incident) -> Part:
    """The proposed runbook with its buttons; else the playbooks; else where to look."""
    playbooks = playbooks_for(request.sources.config.runbooks.dir, incident.diagnosis, incident.service)
    written = [
        folded(book.title, dcc.Markdown(book.text, className="postmortem", link_target="_blank")) for book in playbooks
    ]
    proposal = incident.proposal
    if proposal is None:
        if written:
            return card("What can be done", html.P("Playbooks that match:", className="muted"), *written)
        runbooks = "No runbook or playbook fits the likely cause." if incident.is_open else "No runbook was proposed."
        return card("What can be done", html.P(runbooks, className="muted"))
    return _proposal(incident, proposal, written)


def _proposal(incident: Incident, proposal: Proposal, playbooks: Sequence[Part]) -> Part:
    waits = incident.proposal_state == "proposed" and incident.is_open
    blocked = proposal.blocked if waits else ""
    end: Part = None
    if blocked:
        end = html.P(["Watchkeeper cannot run it: ", blocked], className="muted")
    elif waits:
        buttons = [command_button("approve", incident), command_button("decline", incident, quiet=True)]
        end = html.Div(buttons, className="actions")
    tone = PROPOSAL_TONES.get(incident.proposal_state, "accent")
    return card(
        "Runbook to run by hand" if blocked else "Proposed runbook",
        html.P(html.Strong(proposal.title)),
        html.P(
            f"On {proposal.service}. Blast radius: {proposal.blast_radius}. Undo: {proposal.undo}.", className="muted"
        ),
        folded(
            count(len(proposal.steps), "step") + " and details",
            html.Ol([html.Li(step) for step in proposal.steps], className="steps"),
            facts(*proposal_facts(incident)),
        ),
        end,
        *playbooks,
        aside=pill("advice" if blocked else incident.proposal_state, tone),
        kind="proposal",
    )


def _more(request: PageRequest, number: int) -> Part:
    return html.A(f"all {number}", href=request.view.link(tab="changes"), **{"data-go": ""})
