"""The buttons of an incident, in the order in which somebody on call needs them."""

from __future__ import annotations

from typing import Any

from dash import html

from alerting.incidents.machine import Incident
from dashboard.commands import command_button
from dashboard.components.elements import Part
from dashboard.components.incident_words import is_unanswered, may_be_taken


def actions(incident: Incident) -> Part:
    """What can be done with the incident as it stands: take it, end it, hand it over, write a note."""
    buttons: list[Any] = []
    if may_be_taken(incident):
        buttons.append(command_button("acknowledge", incident))
    if incident.is_open:
        buttons.append(command_button("resolve", incident, quiet=is_unanswered(incident)))
        buttons.append(command_button("assign", incident, quiet=True))
        buttons.append(command_button("severity", incident, quiet=True))
    if incident.human_state == "merged":
        buttons.append(command_button("split", incident))
    buttons.append(command_button("note", incident, quiet=True))
    buttons.append(command_button("label", incident, quiet=True))
    return html.Div(buttons, className="actions")


def false_page_button(incident: Incident) -> Part:
    """Opens the judgement with "a false page" chosen: it stands beside the reason for the page."""
    return command_button("label", incident, small=True, quiet=True, words="Not worth a page", seen="no")


def wrong_cause_button(incident: Incident) -> Part:
    """Opens the judgement for the cause: it stands beside the diagnosis."""
    return command_button("label", incident, small=True, quiet=True, words="Wrong cause", seen="cause")
