"""The fields of a human's judgement of an incident, for each dialog that asks for one."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc

from alerting.incidents.human_labels import ANSWERS
from alerting.incidents.machine import Incident
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import MECHANISMS


def judgement_fields(prefix: str) -> list[Any]:
    """`<prefix>-cause`, `-mechanism`, `-warranted` and `-note`; an empty field is "I don't know"."""
    unknown = "I don’t know"
    return [
        dmc.Select(
            id=f"{prefix}-cause",
            label="Which service was the cause?",
            placeholder=unknown,
            data=[],
            searchable=True,
            clearable=True,
        ),
        dmc.Select(
            id=f"{prefix}-mechanism",
            label="What was the mechanism?",
            placeholder=unknown,
            data=[{"value": m, "label": m} for m in MECHANISMS if m != "unknown"],
            clearable=True,
        ),
        dmc.RadioGroup(
            dmc.Group([dmc.Radio(label=words, value=answer) for answer, words in ANSWERS]),
            id=f"{prefix}-warranted",
            label="Was the page warranted?",
        ),
        dmc.Textarea(id=f"{prefix}-note", label="Note", autosize=True, minRows=2, maxRows=6),
    ]


def causes(incident: Incident) -> list[dict[str, str]]:
    """The services to choose from: suspects first, then every service of the incident."""
    suspects = [s.service for s in incident.diagnosis.suspects] if incident.diagnosis else []
    services = sorted(incident.services)
    return [{"value": name, "label": seen_name(name)} for name in dict.fromkeys([*suspects, *services]) if name]
