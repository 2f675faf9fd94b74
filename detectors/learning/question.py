"""The one question worth asking when a human resolves an incident: where the models are least sure, or disagree.

Idea: uncertainty sampling (the entropy of the deciding version's chance) plus query by committee (does the shadow
version say otherwise?), and nothing that many labels have answered already (Settles, Active Learning, 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from detectors.learning import versions as registry
from detectors.learning.judged import JudgedIncident, incidents_of
from detectors.learning.model import BUILT_IN, LearnedModel
from watchkeeper.state.database import Database
from watchkeeper.state.models import at_stage
from watchkeeper.vocabulary import Finding

ENOUGH: Final = 8  # labels of a group after which its verdicts are hardly asked for
WORTH: Final = 0.25  # of 1: below a quarter of the most that an answer can teach, nobody is asked

About = Literal["warranted", "cause"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask, about which finding, and how much the answer would teach (0 to 1)."""

    about: About
    text: str
    finding_key: str
    value: float


def best_question(db: Database, incident_id: str) -> Question | None:
    """The question whose answer would teach the most about this incident; None when none is worth a human's second."""
    with db.read() as connection:
        incident = incidents_of(connection, [incident_id]).get(incident_id)
    if incident is None:
        return None
    # A human must be able to answer, whatever the versions hold.
    serving = registry.readable(at_stage(db, registry.NAME, "serving")) or BUILT_IN
    other = registry.readable(at_stage(db, registry.NAME, "shadow"))
    asked = [_warranted(finding, serving, other) for finding in incident.findings if finding.severity == "page"]
    asked += _cause(incident)
    best = max(asked, key=lambda question: question.value, default=None)
    return best if best and best.value >= WORTH else None


def _warranted(finding: Finding, serving: LearnedModel, other: LearnedModel | None) -> Question:
    own = serving.groups.get(f"{finding.detector}|{finding.service}")
    labels = own.right + own.wrong if own else 0
    value = 0.6 * _entropy(serving.probability(finding)) * ENOUGH / (ENOUGH + labels)
    if other and other.pages(finding) != serving.pages(finding):
        value += 0.4
    text = f"Was this page warranted: {finding.summary}?"
    return Question(about="warranted", text=text, finding_key=finding.key, value=min(1.0, value))


def _cause(incident: JudgedIncident) -> list[Question]:
    """Which of the two first suspects it was, where they are close."""
    diagnosis = incident.diagnosis
    if diagnosis is None or not diagnosis.suspects:
        return []
    first, *rest = diagnosis.suspects
    second = rest[0] if rest else None
    close = 1.0 - (first.probability - (second.probability if second else 0.0))
    words = f"{first.service} or {second.service}" if second else first.service
    key = incident.findings[0].key if incident.findings else incident.id
    value = 0.5 * min(1.0, max(0.0, close)) * (1.0 if not diagnosis.abstained else 0.8)
    return [
        Question(about="cause", text=f"What was the cause: {words}, or something else?", finding_key=key, value=value)
    ]


def _entropy(chance: float) -> float:
    """1 for an even chance, 0 for certainty."""
    if not 0.0 < chance < 1.0:
        return 0.0
    return -(chance * math.log2(chance) + (1 - chance) * math.log2(1 - chance))
