"""How often each version of the diagnosis' weights ranks the named cause first."""

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
    """AC@1 on this system by version, the newest first; each version without its memory of the incident itself."""
    accuracy = accuracy_by_version(sources.db)
    if not accuracy:
        advice = "Name the cause when you resolve an incident. Causes train the weights."
        return card("Diagnosis", empty("No cause has been named yet", advice))
    current = serving(sources.db, MODEL)
    rows = [
        html.Tr(
            [
                html.Th("default weights" if version == BUILT_IN else f"weights v{version}", scope="row"),
                html.Td(f"{right} of {judged} ({percent(right / judged)})"),
                html.Td("serving" if version == (current.version if current else BUILT_IN) else "in shadow"),
            ]
        )
        for version, (right, judged) in sorted(accuracy.items(), reverse=True)
    ]
    return card(
        "Diagnosis",
        table(["Version", "First suspect was the cause", "Stage"], rows, caption="Accuracy of the first suspect"),
    )
