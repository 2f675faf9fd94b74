"""Error budgets that are used up, burn too fast or will run out, and objectives that cannot be measured."""

from __future__ import annotations

from collections.abc import MutableMapping

from dash import dcc, html

from dashboard.components.budgets import budget_state, left_words
from dashboard.components.elements import Part, card, moment, pill
from dashboard.components.wording import count
from dashboard.reads.sources import Sources
from dashboard.urls import objective_path
from dashboard.viewer import Viewer
from detectors.slo.budget import left
from detectors.slo.openslo import Slo
from watchkeeper.vocabulary import Finding

SHOWN = 5
UNMEASURED = "slo.unmeasured"
TROUBLE = ("failing", "degraded")  # tones


def burning_budgets(sources: Sources, viewer: Viewer, service: str = "") -> Part:
    """What is wrong with budgets now, of one service or of all, the least left first; None without an objective.

    A budget is as the page SLOs counts it. What the detector reports about it stands with it, and by itself where the
    objective is not in the files any more.
    """
    reported = {finding.key: finding for finding in _firing(sources, service)}
    objectives = [slo for slo in sources.objectives.all().by_name.values() if service in ("", slo.service)]
    if not objectives and not reported:
        return None
    troubled = []
    for slo in objectives:
        minutes = sources.objectives.minutes(slo)
        state = budget_state(slo, minutes, viewer.now)
        finding = _taken(slo, reported)
        if finding is None and state[1] not in TROUBLE:
            continue
        share = left(slo, minutes)
        row = _budget(slo, pill(*state), left_words(slo, minutes), finding, viewer)
        troubled.append((2.0 if share is None else share, slo.name, row))
    rows = [row for _, _, row in sorted(troubled, key=lambda each: each[:2])]
    rows += [_orphan(finding, viewer) for _, finding in sorted(reported.items())]
    if not rows:
        return card("Error budgets", html.P("No budget burns too fast.", className="muted"))
    rest = len(rows) - SHOWN
    return card(
        "Error budgets",
        html.Ul(rows[:SHOWN], className="events stacked"),
        html.P(dcc.Link(f"and {rest} more", href="/slos")) if rest > 0 else None,
        aside=dcc.Link(f"{len(rows)} of {count(max(len(objectives), len(rows)), 'objective')}", href="/slos"),
    )


def _firing(sources: Sources, service: str) -> list[Finding]:
    """What the detectors report about budgets, of one service or of all."""
    return [one for one in sources.records.firing() if one.kind == "slo" and service in ("", one.service)]


def _taken(slo: Slo, reported: MutableMapping[str, Finding]) -> Finding | None:
    """What is reported about one objective, a page before a ticket; it is taken out of the rest."""
    found = [reported.pop(f"slo:{slo.name}:{severity}", None) for severity in ("page", "ticket")]
    return found[0] or found[1]


def _budget(slo: Slo, word: Part, share: Part, finding: Finding | None, viewer: Viewer) -> Part:
    since = [" since ", moment(finding.onset, viewer)] if finding else []
    if finding and finding.detector == UNMEASURED:
        word = pill("not measured", "unknown", "?")
    return html.Li(
        [
            html.Div([word, dcc.Link(slo.title, href=objective_path(slo.name)), *since], className="line"),
            html.Span(finding.summary) if finding else html.Span(["Budget left: ", share]),
        ]
    )


def _orphan(finding: Finding, viewer: Viewer) -> Part:
    word = pill("pages", "failing", "◆") if finding.severity == "page" else pill("burns", "degraded", "▲")
    return html.Li(
        [html.Div([word, "since ", moment(finding.onset, viewer)], className="line"), html.Span(finding.summary)]
    )
