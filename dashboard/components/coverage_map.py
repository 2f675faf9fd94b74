"""The coverage map on a page, and the experiments to run next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dash import dcc, html

from chaos.assessment import Assessment
from chaos.coverage import Cell, Proposed, State
from chaos.scored import ScoredExperiment
from dashboard.components.elements import Part, card, empty, pill, table
from dashboard.components.wording import ago, count
from dashboard.reads.experiments import newest_by_cell
from dashboard.urls import experiment_path
from dashboard.viewer import Viewer

TONES: Final[Mapping[State, tuple[str, str]]] = {
    "detected": ("ok", "●"),
    "late": ("degraded", "▲"),
    "wrong cause": ("degraded", "?"),
    "missed": ("failing", "✕"),
    "outdated": ("silent", "○"),
    "untested": ("unknown", "·"),
}


def coverage_card(known: Assessment, viewer: Viewer) -> Part:
    """Service × fault: what became of the newest tests of each, with a link to the newest."""
    if not known.cells:
        return card(
            "Coverage",
            empty(
                "Nothing can be tested yet",
                "Name a target under `targets:` in the configuration. Its services must opt in to experiments.",
            ),
        )
    faults = sorted({cell.fault for cell in known.cells})
    by_cell = {(cell.service, cell.fault): cell for cell in known.cells}
    newest = newest_by_cell(known)
    rows = [
        html.Tr(
            [
                html.Th(service, scope="row"),
                *(
                    html.Td(_cell(by_cell.get((service, fault)), newest.get((service, fault)), viewer))
                    for fault in faults
                ),
            ]
        )
        for service in sorted({cell.service for cell in known.cells})
    ]
    tested = sum(cell.tested > 0 for cell in known.cells)
    return card(
        "Coverage",
        table(["Service", *faults], rows, caption="Coverage: services by faults", kind="coverage"),
        html.P(
            "Each cell shows the worst of its three newest tests. A dash: the target cannot do it.",
            className="legend muted",
        ),
        aside=f"{tested} of {count(len(known.cells), 'cell')} tested",
    )


def _cell(cell: Cell | None, newest: ScoredExperiment | None, viewer: Viewer) -> Part:
    if cell is None:
        return html.Span("–", className="muted")
    tone, mark = TONES[cell.state]
    shown = pill(cell.state, tone, mark)
    if newest is None or cell.tested_at is None:
        return shown
    words = f"found {cell.found} of {cell.tested}, {ago(cell.tested_at, viewer.now)}"
    if cell.before:
        words += f", {cell.before} then"
    return [
        dcc.Link(shown, href=experiment_path(newest.truth.id), title=words),
        html.Div(f"{cell.found} of {cell.tested}", className="reason"),
    ]


def proposals_card(proposed: tuple[Proposed, ...], start: Mapping[tuple[str, str], Part]) -> Part:
    """The next experiments with their reasons. `start` has a button for those that can be started from here."""
    if not proposed:
        return None
    items = [
        html.Li(
            [
                html.Div(
                    [
                        html.Strong(f"{one.cell.fault} in {one.cell.service}"),
                        html.Div(one.reason, className="reason"),
                        html.Code(f"watchkeeper chaos run {one.cell.fault} {one.cell.service}"),
                    ]
                ),
                start.get((one.cell.service, one.cell.fault)),
            ]
        )
        for one in proposed
    ]
    return card("Test next", html.Ol(items, className="next"), aside="what teaches most for what it puts at risk")
