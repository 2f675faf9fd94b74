"""The scorecard on a page: each number with its interval, overall and by fault, service or version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dash import html

from chaos.assessment import Assessment
from chaos.report import BRIEF, MEASURES, count_text, number_text
from chaos.scorecard import By, scorecard, scorecards
from dashboard.components.elements import Part, card, empty, folded, table
from dashboard.components.wording import count
from watchkeeper.intervals import Median, Rate, Share

GROUPS: Final[tuple[tuple[By, str], ...]] = (
    ("fault", "By fault"),
    ("service", "By service"),
    ("version", "By version"),
)


def scorecard_card(known: Assessment) -> Part:
    """Every measure over all experiments and control windows."""
    if not known.known:
        return None
    whole = scorecard(known.known)
    rows = [
        html.Tr(
            [
                html.Th(name, scope="row"),
                html.Td(_bar(measured)),
                html.Td(number_text(measured), className="number"),
                html.Td(count_text(measured), className="number muted"),
            ]
        )
        for key, name in MEASURES.items()
        if (measured := getattr(whole, key)).value is not None
    ]
    listed = ", ".join(name.lower() for key, name in MEASURES.items() if getattr(whole, key).value is None)
    return card(
        "Scorecard",
        table(
            ["Measure", "", "Value, 95 % interval", "From"], rows, caption="Scorecard of all experiments",
            numbers=("Value, 95 % interval", "From"),
        )
        if rows
        else empty("No experiment has its outcome yet", "It is known two minutes after the end of the fault."),
        html.P(f"Not measured yet: {listed}.", className="legend muted") if listed and rows else None,
        aside=f"{count(whole.experiments, 'experiment')}, {whole.without_effect} without effect",
    )  # fmt: skip


def groups_card(known: Assessment) -> Part:
    """Recall, page and cause by fault; by service and by version behind a line each."""
    if not any(one.counts for one in known.known):
        return None
    tables = [(title, _group(known, [by])) for by, title in GROUPS]
    first, *rest = tables
    return card(
        first[0], first[1], *(folded(title, shown) for title, shown in rest),
        folded("By fault, service and version", _group(known, ["fault", "service", "version"])),
    )  # fmt: skip


def _group(known: Assessment, by: Sequence[By]) -> Part:
    heads = [*(name.capitalize() for name in by), "Tests", *(MEASURES[key] for key in BRIEF)]
    rows = [
        html.Tr(
            [
                *(html.Th(word, scope="row") if not place else html.Td(word) for place, word in enumerate(key)),
                html.Td(str(one.experiments), className="number"),
                *(html.Td(number_text(getattr(one, name)), className="number") for name in BRIEF),
            ]
        )
        for key, one in scorecards(known.known, by).items()
    ]
    caption = f"Scorecard by {', '.join(by)}"
    return table(heads, rows, caption=caption, numbers=("Tests", *(MEASURES[key] for key in BRIEF)))


def _bar(measured: Share | Rate | Median) -> Part:
    """A share's interval as a bar with a dot on it; numbers without an end of their own have none."""
    if not isinstance(measured, Share) or measured.value is None:
        return None
    left, width = 100 * measured.low, 100 * (measured.high - measured.low)
    return html.Span(
        [
            html.Span(className="interval-range", style={"left": f"{left:.1f}%", "width": f"{width:.1f}%"}),
            html.Span(className="interval-dot", style={"left": f"{100 * measured.value:.1f}%"}),
        ],
        className="interval",
        **{"aria-hidden": "true"},
    )
