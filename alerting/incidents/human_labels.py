"""A human's judgement of an incident, made a label in one way: from Slack, the API, the command line and the dashboard.

The same answers of the same person on the same incident are the same label, so a repeat changes nothing. Other answers
of theirs take its place: a person has one judgement of an incident, the newest. "Not sure" is such a judgement, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from alerting.incidents.machine import Incident
from watchkeeper.vocabulary import MECHANISMS, Actor, Label, Mechanism, content_key

Answer = Literal["yes", "no", "unsure"]
# The answers to "Was the page warranted?", with the text of the forms.
ANSWERS: Final[tuple[tuple[Answer, str], ...]] = (
    ("yes", "Yes"),
    ("no", "No, a false page"),
    ("unsure", "Not sure"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A form's answers. `warranted` None is "not sure", `cause` None is no service, or not known."""

    warranted: bool | None = None
    cause: str | None = None
    mechanism: Mechanism | None = None
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cause", self.cause or None)
        object.__setattr__(self, "note", self.note.strip())


def read_form(answer: str | None, cause: str | None, mechanism: str | None, note: str | None) -> Judgement | None:
    """The judgement of a form whose fields may be empty; None where nothing at all was answered."""
    known = next((name for name in MECHANISMS if name == mechanism), None)
    if not answer and not cause and known is None and not (note or "").strip():
        return None
    warranted = {"yes": True, "no": False}.get(answer or "")
    return Judgement(warranted=warranted, cause=cause, mechanism=known, note=note or "")


def human_label(incident: Incident, actor: Actor, judgement: Judgement, *, model_version: str, at: datetime) -> Label:
    """A judgement as a label. `model_version` is the version that decided to page."""
    answers = [judgement.warranted, judgement.cause, judgement.mechanism, judgement.note]
    return Label(
        id=f"human-{content_key(incident.id, actor.name, json.dumps(answers))}",
        incident_id=incident.id,
        source="human",
        author=actor.name,
        at=at,
        warranted=judgement.warranted,
        cause=judgement.cause,
        mechanism=judgement.mechanism,
        model_version=model_version,
        note=judgement.note,
    )
