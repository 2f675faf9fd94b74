"""The weaknesses that experiments have shown: which, what showed it, what to do, and who decided what."""

from __future__ import annotations

from dash import dcc, html

from chaos.findings import ResilienceFinding
from dashboard.components.elements import Part, card, folded, moment, pill, table
from dashboard.components.wording import count
from dashboard.page import PageRequest
from dashboard.urls import experiment_path
from dashboard.viewer import Viewer

PILLS = {
    "open": ("open", "degraded", "◆"),
    "accepted": ("accepted", "unknown", "○"),
    "repaired": ("repaired", "ok", "●"),
}
HEADS = ("Weakness", "Shown by", "Proposal", "State")


def resilience_card(request: PageRequest) -> Part:
    """Open weaknesses with their proposals; the others folded."""
    kept = request.sources.experiments.findings()
    if not kept:
        return None
    rows = [_row(one, request.viewer) for one in kept if one.state == "open"]
    rest = [_row(one, request.viewer) for one in kept if one.state != "open"]
    return card(
        "Resilience",
        table(HEADS, rows, caption="Weaknesses that are open, the worst kind first")
        if rows
        else html.P("No weakness is open.", className="muted"),
        folded(count(len(rest), "decided weakness", "decided weaknesses"), table(HEADS, rest, caption="Decided"))
        if rest
        else None,
        html.P([html.Code("watchkeeper chaos decide ID accepted|repaired"), " decides"], className="muted"),
        aside=f"{len(rows)} of {len(kept)} open",
    )


def _row(one: ResilienceFinding, viewer: Viewer) -> Part:
    where = one.service if one.service == one.dependency else f"{one.service} → {one.dependency}"
    by = " ".join(part for part in (one.decided_by, f"({one.note})" if one.note else "") if part)
    retested = None
    if one.retested_at:
        link = dcc.Link(one.retested_by[:8], href=experiment_path(one.retested_by))
        retested = html.Div(["not shown any more by ", link], className="reason")
    return html.Tr(
        [
            html.Th([one.kind, html.Div(where, className="reason")], scope="row"),
            html.Td(
                [
                    one.shown,
                    html.Div(
                        [
                            dcc.Link(f"{one.fault}, {one.experiment[:8]}", href=experiment_path(one.experiment)),
                            " ",
                            moment(one.last_seen, viewer),
                        ],
                        className="reason",
                    ),
                ]
            ),
            html.Td(one.proposal),
            html.Td(
                [
                    pill(*PILLS[one.state]),
                    html.Div(by, className="reason") if by else None,
                    retested,
                    html.Div(one.id[:8], className="muted mono"),
                ]
            ),
        ]
    )
