"""One experiment: its time axis, what was true, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dash import dcc, html

from chaos.report import suspect_text
from chaos.resilience import Resilience
from chaos.scored import ScoredExperiment
from dashboard.components.elements import Part, card, empty, facts, moment, pill, plot, table
from dashboard.figures.experiment import experiment_figure, moments_of, window_of
from dashboard.page import PageRequest
from dashboard.urls import experiment_path, floor_5s, incident_path
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

STEP_S: Final = 5
ENTRIES: Final = 2  # services at the front whose customers' view is shown
TOO_LITTLE: Final = "Callers made too few calls, or none of them failed or was slow."
# Outcome → its words, tone and shape.
OUTCOMES: Final[Mapping[str, tuple[str, str, str]]] = {
    "found": ("found", "ok", "●"),
    "missed": ("missed", "failing", "✕"),
    "joined": ("joined", "degraded", "▲"),
    "no effect": ("no effect", "unknown", "○"),
    "unknown": ("unknown", "unknown", "?"),
    "false page": ("false page", "failing", "✕"),
    "quiet": ("quiet", "ok", "●"),
    "unsettled": ("not settled", "accent", "◐"),
}


def timeline_card(request: PageRequest, one: ScoredExperiment) -> Part:
    """What customers and the broken service saw, with every moment marked; while it runs, live."""
    viewer, sources = request.viewer, request.sources
    whole = window_of(one, viewer.now)
    window = Window(start=floor_5s(whole.start), end=floor_5s(whole.end))
    series = sources.traffic.red(window, STEP_S)
    names = [one.truth.service, *_entries(request, one)]
    running = viewer.now < one.truth.ended
    title = f"{one.truth.fault} in {one.truth.service}" if one.truth.fault else "Control window"
    marks = moments_of(one, viewer.now)
    shown = (
        plot(
            f"experiment-{one.truth.id[:8]}",
            experiment_figure(series, names, window, viewer, marks),
            f"Failed requests and p95 of {', '.join(names)}; " + ", ".join(f"{m.text} {m.at:%H:%M:%S}" for m in marks),
            reads=("red",),
        )
        if any(name in series for name in names)
        else empty("No request was recorded in this time", "Its traces may be older than what the store keeps.")
    )
    state = pill("running", "failing", "◆") if running else pill(*OUTCOMES[one.outcome or "unsettled"])
    link = dcc.Link("Record", href=experiment_path(one.truth.id)) if running else None
    return card(title, shown, _steps(one, viewer), aside=html.Span([state, " ", link], className="line"))


def _entries(request: PageRequest, one: ScoredExperiment) -> list[str]:
    """The services that nobody calls: what customers see."""
    edges = request.sources.experiments.assessment().edges
    called = {callee for _, callee in edges}
    return [name for name in sorted({caller for caller, _ in edges} - called) if name != one.truth.service][:ENTRIES]


def _steps(one: ScoredExperiment, viewer: Viewer) -> Part:
    """The moments as text, with the seconds from the effect."""
    effect_at = one.truth.effect_at or one.truth.began
    items = [
        html.Li(
            [
                moment(m.at, viewer),
                html.Span([html.Strong(m.text), f" {round((m.at - effect_at).total_seconds()):+d} s"]),
            ]
        )
        for m in moments_of(one, viewer.now)
    ]
    return html.Ol(items, className="moments")


def facts_card(one: ScoredExperiment, viewer: Viewer) -> Part:
    """What was true, and what became of it."""
    truth = one.truth
    answer = one.answer
    rows: list[tuple[str, Part]] = [("Outcome", pill(*OUTCOMES[one.outcome or "unsettled"]))]
    if truth.fault:
        rows += [
            ("Fault", f"{truth.fault} in {truth.service}"),
            ("Mechanism", truth.mechanism or "–"),
            ("Proof", truth.detail or "–"),
            ("First suspect", suspect_text(one)),
            ("Rank of the truth", str(answer.rank) if answer and answer.rank else "not named" if answer else "–"),
            ("Opened by", one.detector or "–"),
        ]
    else:
        rows.append(("Why", truth.detail or "–"))
    if one.run is not None:
        rows.append(("Runbook", "succeeded" if one.run else "failed"))
    links: list[Part] = []
    for incident_id in one.incidents:
        links += [", "] if links else []
        links.append(dcc.Link(incident_id, href=incident_path(incident_id)))
    rows += [
        ("Incidents", html.Span(links) if links else "none"),
        ("Began", moment(truth.began, viewer)),
        ("Ended", moment(truth.ended, viewer)),
        ("Watched by", one.version),
        ("Target", truth.target),
        ("Id", html.Span(truth.id, className="mono")),
    ]
    return card("Record", facts(*rows))


def borne_card(shown: Resilience) -> Part:
    """How the system bore it: weaknesses with a proposal each, and what held."""
    if not shown.seen:
        return card("How the system bore it", empty("The traffic around it is not in the store any more"))
    weak = [(pill(one.kind, "degraded", "▲"), one.service, one.shown, one.proposal) for one in shown.weaknesses]
    held = [
        (pill("held", "ok", "●"), one.service, f"while {one.dependency} was broken, it {one.shown}", "")
        for one in shown.held
    ]
    rows = [
        html.Tr(
            [
                html.Th(kind, scope="row"),
                html.Td(service),
                html.Td([words, html.Div(proposal, className="reason") if proposal else None]),
            ]
        )
        for kind, service, words, proposal in (*weak, *held)
    ]
    if not rows:
        return card("How the system bore it", empty("Neither a weakness nor a strength was shown", TOO_LITTLE))
    return card(
        "How the system bore it", table(["", "Service", "What it did, and what to change"], rows, caption="Resilience")
    )
