"""The likely cause of an incident: suspects with probability and evidence."""

from __future__ import annotations

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, moment, pill
from dashboard.components.wording import likely, listed
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Evidence, Suspect

SUSPECTS = 3
REASONS = 4  # of the first suspect; of the others the strongest alone


def diagnosis_card(incident: Incident, view: View, viewer: Viewer) -> Part:
    """The suspects, each with its probability and its evidence; or why there is none."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return card(
            "Likely cause",
            empty(
                "Not diagnosed yet",
                "The first diagnosis appears a few seconds after the incident opens, and is updated while it is open.",
            ),
        )
    made = html.Span(["made ", moment(diagnosis.made_at, viewer)])
    if not diagnosis.suspects:
        return card("Likely cause", empty("No cause named", diagnosis.reason), aside=made)
    verdict = html.P(
        [html.Strong("No cause named. Leads: "), diagnosis.reason] if diagnosis.abstained else diagnosis.reason,
        className="verdict abstained" if diagnosis.abstained else "verdict",
    )
    shown = [s for rank, s in enumerate(diagnosis.suspects) if rank < SUSPECTS and (rank == 0 or s.evidence)]
    rest = [s.service for s in diagnosis.suspects if s not in shown]
    return card(
        "Likely cause",
        verdict,
        html.Ol([_suspect(s, rank, view) for rank, s in enumerate(shown)], className="suspects"),
        html.P(f"Also considered, without significant evidence: {listed(rest[:8])}.", className="muted rest")
        if rest
        else None,
        aside=made,
    )


def _suspect(suspect: Suspect, rank: int, view: View) -> Part:
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
    evidence = html.Ul([_reason(e) for e in reasons[: REASONS if rank == 0 else 1]], className="evidence")
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
