"""The silences that are in force, with what each keeps from paging."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from alerting.incidents.machine import Incident
from alerting.incidents.silences import Silence, hidden_burns, left
from dashboard.components.elements import Part, card, empty, moment, pill, table
from dashboard.viewer import Viewer


def silences_card(silences: Sequence[Silence], incidents: Sequence[Incident], viewer: Viewer) -> Part:
    """What pages nobody now, by whom, why and until when; `incidents` are the open ones."""
    if not silences:
        return card(
            "Silences",
            empty(
                "No silence",
                html.Span([html.Code("watchkeeper silence add"), " suppresses pages for a while; data go on."]),
            ),
        )
    rows = []
    for silence in silences:
        burns = hidden_burns(silence, incidents)
        note = [html.Br(), pill("burns an objective", "failing", "!"), f" {burns[0]}"] if burns else []
        rows.append(
            html.Tr(
                [
                    html.Th([silence.described, *note], scope="row"),
                    html.Td(silence.owner),
                    html.Td(silence.reason),
                    html.Td([moment(silence.end, viewer, seconds=False), f", {left(silence, viewer.now)}"]),
                    html.Td(silence.id, className="mono muted"),
                ]
            )
        )
    return card("Silences", table(["Matches", "Owner", "Reason", "Ends", "Id"], rows, caption="Silences in force"))
