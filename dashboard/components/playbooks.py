"""The playbooks that match an incident: Markdown files of whoever runs the services, as they are."""

from __future__ import annotations

from pathlib import Path

from dash import dcc

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, folded
from runbooks.preflight import playbooks_for


def playbooks_card(folder: Path | None, incident: Incident) -> Part:
    """Each folded, under its title; nothing where none matches."""
    playbooks = playbooks_for(folder, incident.diagnosis, incident.service)
    if not playbooks:
        return None
    return card(
        "Playbooks",
        *(
            folded(playbook.title, dcc.Markdown(playbook.text, className="postmortem", link_target="_blank"))
            for playbook in playbooks
        ),
    )
