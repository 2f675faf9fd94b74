"""Findings that a version suppressed: why they did not page, and the button to reopen one."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard.components.elements import Part, pill
from dashboard.reads.sources import Sources
from watchkeeper.vocabulary import Finding


def reopen_button(finding: Finding) -> Any:
    """Opens the dialog that asks whether this finding should have paged."""
    return dmc.Button("Reopen", id={"reopen": finding.key}, n_clicks=0, size="compact-sm", variant="default")


def is_reopened(sources: Sources, finding: Finding) -> bool:
    """Whether somebody reopened findings of its detector on its service."""
    return (finding.detector, finding.service) in sources.records.barred()


def suppression_note(finding: Finding, *, reopened: bool) -> Part:
    """The reason, the version, and a button to reopen the finding; None for a finding that is not suppressed."""
    suppression = finding.suppression
    if suppression is None:
        return None
    return html.Div(
        [
            pill("suppressed", "degraded", "▽"),
            html.Span(f" by version {suppression.model_version}: {suppression.reason} "),
            pill("reopened", "accent", "↺") if reopened else reopen_button(finding),
        ],
        className="suppressed",
    )
