"""The likely cause of an incident: in short for the first screen, and complete with every suspect's evidence."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, moment, pill
from dashboard.components.wording import likely, listed
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Evidence, Suspect

SUSPECTS = 5
REASONS = 2  # of the first suspect on the first screen
OTHERS = 3  # suspects that the first screen names beside the first


def likely_cause(incident: Incident, view: View) -> Sequence[Part]:
    """The first suspect with its two strongest reasons, and who else was considered; or why nobody is named."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return [_pending()]
    if not diagnosis.suspects:
        return [empty("No cause named", diagnosis.reason)]
    first, others = diagnosis.suspects[0], diagnosis.suspects[1 : 1 + OTHERS]
    strongest = sorted(first.evidence, key=lambda e: -abs(e.weight))[:REASONS]
    verdict = None
    if diagnosis.abstained:
        verdict = html.P([html.Strong("No cause named. Leads: "), diagnosis.reason], className="verdict abstained")
    elif diagnosis.reason not in [each.sentence for each in strongest]:
        verdict = html.P(diagnosis.reason, className="verdict")
    named = ", ".join(f"{other.service} {likely(other.probability)}" for other in others)
    everything = html.A("All evidence", href=view.link(tab="evidence"), **{"data-go": ""})
    return [
        verdict,
        html.Ol(_suspect(first, 0, view, REASONS), className="suspects"),
        html.P([f"Also considered: {named}. " if named else None, everything], className="muted considered"),
    ]


def _pending() -> Part:
    return empty(
        "Not diagnosed yet",
        "The first diagnosis appears a few seconds after the incident opens, and is updated while it is open.",
    )


def diagnosis_card(incident: Incident, view: View, viewer: Viewer) -> Part:
    """Every suspect with its probability and all of its evidence; or why there is none."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return card("Suspects and their evidence", _pending())
    made = html.Span(["made ", moment(diagnosis.made_at, viewer)])
    if not diagnosis.suspects:
        return card("Suspects and their evidence", empty("No cause named", diagnosis.reason), aside=made)
    verdict = html.P(
        [html.Strong("No cause named. Leads: "), diagnosis.reason] if diagnosis.abstained else diagnosis.reason,
        className="verdict abstained" if diagnosis.abstained else "verdict",
    )
    shown = [s for rank, s in enumerate(diagnosis.suspects) if rank < SUSPECTS and (rank == 0 or s.evidence)]
    rest = [s.service for s in diagnosis.suspects if s not in shown]
    return card(
        "Suspects and their evidence",
        verdict,
        html.Ol([_suspect(s, rank, view) for rank, s in enumerate(shown)], className="suspects"),
        html.Ul([html.Li(note) for note in diagnosis.notes], className="plain muted") if diagnosis.notes else None,
        html.P(f"Also considered, without significant evidence: {listed(rest[:8])}.", className="muted rest")
        if rest
        else None,
        aside=made,
    )


def _suspect(suspect: Suspect, rank: int, view: View, most: int | None = None) -> Part:
    """One suspect with its reasons, the strongest first; `most` of them, or all."""
    where = [suspect.operation, suspect.instance, suspect.metric]
    reasons = sorted(suspect.evidence, key=lambda e: -abs(e.weight))
    mechanism = (
        pill(suspect.mechanism, "failing" if rank == 0 else "unknown") if suspect.mechanism != "unknown" else None
    )
    head = html.Div(
        [
            html.Strong(dcc.Link(suspect.service, href=view.link("/services", service=suspect.service))),
            mechanism,
            html.Span(" · ".join(filter(None, where)), className="muted mono"),
            _probability(suspect),
        ],
        className="line suspect-head",
    )
    evidence = html.Ul([_reason(e) for e in reasons[:most]], className="evidence")
    return html.Li([head, evidence], className="suspect first" if rank == 0 else "suspect")


def _probability(suspect: Suspect) -> Part:
    return html.Span(
        [
            html.Span(className="bar", style={"width": f"{suspect.probability:.1%}"}),
            html.Span(likely(suspect.probability), className="number"),
        ],
        className="probability",
        title=f"{suspect.service} is the cause with a probability of {likely(suspect.probability)}",
    )


def _reason(evidence: Evidence) -> Part:
    supports = evidence.weight >= 0
    return html.Li(
        [
            html.Span(
                "+" if supports else "−",
                className="sign good" if supports else "sign",
                **{"aria-label": "for" if supports else "against"},
            ),
            html.Span(evidence.sentence),
            html.Span(evidence.kind.replace("_", " "), className="muted kind", title=f"weight {evidence.weight:+.2f}"),
        ]
    )
