"""How often each version of the diagnosis' weights puts the cause first that somebody named."""

from __future__ import annotations

from dash import html

from dashboard.components.elements import Part, card, empty, table
from dashboard.components.wording import percent
from dashboard.reads.sources import Sources
from watchkeeper.state.diagnosis_verdicts import accuracy_by_version
from watchkeeper.state.models import serving

MODEL = "rca"
BUILT_IN = 0


def diagnosis_accuracy(sources: Sources) -> Part:
    """AC@1 on this system by version, the newest first; each version without what it remembers of an incident."""
    found = accuracy_by_version(sources.db)
    if not found:
        return card(
            "Diagnosis",
            empty("No cause was named yet", "Name the cause when you resolve an incident: the weights learn from it."),
        )
    current = serving(sources.db, MODEL)
    rows = [
        html.Tr(
            [
                html.Th("default weights" if version == BUILT_IN else f"weights v{version}", scope="row"),
                html.Td(f"{right} of {judged} ({percent(right / judged)})"),
                html.Td("serves" if version == (current.version if current else BUILT_IN) else "in shadow"),
            ]
        )
        for version, (right, judged) in sorted(found.items(), reverse=True)
    ]
    return card(
        "Diagnosis",
        table(["Version", "First suspect was the cause", "Stage"], rows, caption="Accuracy of the first suspect"),
    )
