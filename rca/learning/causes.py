"""Causes that people and experiments named, with the evidence of their incidents: what the weights learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rca.engine import Engine
from rca.learning.judged import JudgedCase, judged_live
from rca.learning.versions import WeightsLearner
from rca.registry import read_engine
from watchkeeper.clock import Clock
from watchkeeper.config import LearningConfig
from watchkeeper.errors import NotFound
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.vocabulary import Diagnosis, Label

MOST_JUDGED = 200  # of the newest: older ones are of another system, and training takes longer with each


class Diagnosed(Protocol):
    """An incident, as far as this needs it."""

    @property
    def diagnosis(self) -> Diagnosis | None: ...


class Incidents(Protocol):
    """Where incidents are found. `get` raises NotFound for an unknown id."""

    def get(self, incident_id: str) -> Diagnosed: ...


class Causes:
    """Labels in, the engine with the weights that serve out. One thread at a time."""

    def __init__(
        self, db: Database, incidents: Incidents, clock: Clock, settings: LearningConfig, problems: Problems
    ) -> None:
        self._db = db
        self._incidents = incidents
        self._problems = problems
        engine = read_engine()
        self._kinds, self._shipped = engine.kinds, engine.weights
        self._learner = WeightsLearner(db, clock, self._shipped, settings)
        self._labels: tuple[Label, ...] | None = None
        self._judged: tuple[JudgedCase, ...] = ()
        self.engine = Engine(self._kinds, self._learner.serving())

    def learn(self) -> None:
        """Learn from what was labelled since the last time, and take over the weights that serve now."""
        given = labels(self._db)
        if given != self._labels:
            self._judged = judged_causes(self._incidents, given, self._shipped)
            self._labels = given
        weights = self._learner.run(self._judged)
        if dict(weights) != self.engine.weights:
            self.engine = Engine(self._kinds, weights)
        if self._learner.unreadable:
            self._problems.report("learn", "the weights of the diagnosis", self._learner.unreadable)
        else:
            self._problems.solved("learn", "the weights of the diagnosis")


def judged_causes(incidents: Incidents, given: Sequence[Label], weights: Mapping[str, float]) -> tuple[JudgedCase, ...]:
    """Every labelled incident whose cause is named and whose diagnosis is stored, in the order of the labels."""
    judged = []
    for label in [label for label in given if label.cause is not None][-MOST_JUDGED:]:
        try:
            diagnosis = incidents.get(label.incident_id).diagnosis
        except NotFound:
            continue  # a label outlives its incident
        case = judged_live(label, diagnosis, weights) if diagnosis else None
        if case is not None:
            judged.append(case)
    return tuple(judged)
