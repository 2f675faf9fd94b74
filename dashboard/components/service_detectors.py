"""What the detectors know of a service: whether their baselines are ready, and how often each was right on it."""

from __future__ import annotations

from dash import html

from dashboard.components.elements import Part, card, pill
from dashboard.reads.sources import Sources
from detectors.learning.track_record import all_records

STAGES = {
    "learning": ("learning", "unknown", "?"),
    "level": ("level baseline ready", "ok", "◐"),
    "ready": ("baseline ready", "ok", "●"),
}
MEANINGS = {
    "learning": "Nothing about it is judged yet: silence does not mean that it is well.",
    "level": "Requests, failures and latency are judged against their usual level. Slower changes are not judged yet.",
    "ready": "Everything that its telemetry allows is judged.",
}


def detectors_card(sources: Sources, name: str) -> Part:
    """The stage with what it means, and a sentence for each detector that was judged here."""
    stage = readiness_words(sources, name)
    records = [record for record in all_records(sources.records.labelled()) if record.service == name]
    if not records:
        return card(
            "Detectors here",
            *stage,
            html.P("No detector has been judged on this service yet. Labels judge them.", className="muted"),
            level=3,
        )
    sentences = html.Ul([html.Li(html.Span(record.sentence())) for record in records[:6]], className="events stacked")
    return card("Detectors here", *stage, sentences, level=3)


def readiness_words(sources: Sources, name: str) -> list[Part]:
    """The stage, the reason for it, and what it means for a reader."""
    readiness = sources.records.readiness().get(name)
    if readiness is None:
        words = "No detector has seen it yet: silence does not mean that it is well."
        return [html.P([pill("unknown", "unknown", "?"), " ", words])]
    return [
        html.P([pill(*STAGES[readiness.stage]), f" {readiness.reason}"]),
        html.P(MEANINGS[readiness.stage], className="muted"),
    ]
