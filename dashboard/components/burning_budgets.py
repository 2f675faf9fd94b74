"""Error budgets that burn too fast, or that cannot be measured."""

from __future__ import annotations

from dash import html

from dashboard.components.elements import Part, card, moment, pill
from dashboard.components.wording import count
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Finding

SHOWN = 5
UNMEASURED = "slo.unmeasured"


def burning_budgets(sources: Sources, viewer: Viewer) -> Part:
    """What the detector of burns reports now; None where no objective is configured."""
    firing = sorted(
        (finding for finding in sources.records.firing() if finding.kind == "slo"),
        key=lambda finding: (finding.severity != "page", -(finding.value or 0.0), finding.key),
    )
    if not firing:
        if not sources.config.slo:
            return None
        return card("Error budgets", html.P("No budget burns too fast.", className="muted"))
    burning = sum(finding.detector != UNMEASURED for finding in firing)
    rest = len(firing) - SHOWN
    return card(
        "Error budgets",
        html.Ul([_budget(finding, viewer) for finding in firing[:SHOWN]], className="events stacked"),
        html.P(f"and {rest} more", className="muted") if rest > 0 else None,
        aside=f"{burning} burning too fast" if burning else f"{count(len(firing), 'objective')} not measured",
    )


def _budget(finding: Finding, viewer: Viewer) -> Part:
    if finding.detector == UNMEASURED:
        word = pill("not measured", "unknown", "?")
    else:
        word = pill("pages", "failing", "◆") if finding.severity == "page" else pill("burns", "degraded", "▲")
    return html.Li(
        [html.Div([word, "since ", moment(finding.onset, viewer)], className="line"), html.Span(finding.summary)]
    )
