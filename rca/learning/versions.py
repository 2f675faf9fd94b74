"""The life of trained weights: a version is made of the labels there are, shadows, and serves once the gate lets it.

Every step is recorded with its reasons in the same tables as the detectors' versions. There is no canary: a ranking
pages nobody, and each labelled incident compares a shadow with what serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from rca.learning.gate import Verdict, judge
from rca.learning.judged import JudgedCase, one_per_incident
from rca.learning.training import held_out, train
from rca.weights import complete, known_only, parse, weight_of
from watchkeeper.clock import Clock
from watchkeeper.config import LearningConfig
from watchkeeper.errors import DiagnosisError, StateError
from watchkeeper.state.database import Database
from watchkeeper.state.diagnosis_verdicts import record_verdicts
from watchkeeper.state.models import (
    ModelVersion,
    at_stage,
    put_model,
    rolled_back,
    served_before,
    stage,
    versions,
)

NAME: Final = "rca"  # of the model in the tables of models and promotions
CODE: Final = "conditional logit 1"
BUILT_IN: Final = 0  # the version of the shipped weights


class WeightsLearner:
    """Turns causes that people and experiments named into weights, and says which weights serve."""

    def __init__(
        self, db: Database, clock: Clock, shipped: Mapping[str, float], settings: LearningConfig | None = None
    ) -> None:
        self._db = db
        self._clock = clock
        self._shipped = dict(shipped)
        self._settings = settings or LearningConfig()
        self._logger = structlog.get_logger()
        self._judged: tuple[JudgedCase, ...] = ()
        # Of these judged cases; a version's content never changes.
        self._verdicts: dict[tuple[int, int], Verdict] = {}
        self._right_of: dict[int, dict[str, bool]] = {}
        self.unreadable = ""

    def run(self, judged: Sequence[JudgedCase]) -> Mapping[str, float]:
        """Train on new labels, record who is right, move on what earned it. Returns the weights that serve."""
        now = self._clock.now()
        if self._take(judged):
            if self._judged:
                self._train(now)
            record_verdicts(self._db, self._right_by_version())
        self._move(now)
        return self.serving()

    def serving(self) -> Mapping[str, float]:
        """The weights that decide; the shipped ones where no version does, or it cannot be read."""
        return self._weights(at_stage(self._db, NAME, "serving"))

    def gate(self, version: ModelVersion, judged: Sequence[JudgedCase], now: datetime) -> Verdict:
        """Judge a version on every cause there is, and on how long it has shadowed."""
        self._take(judged)
        verdict = self._judge(version)
        return _with_waiting(verdict, self._unmet_observation(version, now))

    def _take(self, judged: Sequence[JudgedCase]) -> bool:
        """Go by these cases from now on; says whether they are others than before."""
        if tuple(judged) == self._judged:
            return False
        self._judged = tuple(judged)
        self._verdicts.clear()
        self._right_of.clear()
        return True

    def _train(self, now: datetime) -> None:
        cases = one_per_incident(self._judged)
        weights = train(cases, self._shipped)
        changed = {name: weight for name, weight in weights.items() if weight != weight_of(name, self._shipped)}
        if not changed:
            return
        lineage = {
            "human labels": sum(case.source == "human" for case in self._judged),
            "chaos labels": sum(case.source == "chaos" for case in self._judged),
            "incidents": len(cases),
            "last label": max(case.at for case in cases if case.at).isoformat(),
            "code": CODE,
        }
        newest = max((model.version for model in versions(self._db, NAME, newest=1)), default=BUILT_IN)
        content = json.dumps({"weights": changed}, sort_keys=True).encode()
        model = put_model(self._db, NAME, content, lineage, now)
        if model.version <= newest:
            return  # the same content as before
        self._logger.info("weights.trained", version=model.version, incidents=len(cases))
        # One that passes goes on being observed, lest every new label set its clock back; the newest is next in turn.
        oldest, *others = versions(self._db, NAME, ("shadow",))
        stale = others[:-1] if self._judge(oldest).passed else [oldest, *others][:-1]
        for old in stale:
            why = {"why": f"version {model.version} has learned more"}
            stage(self._db, NAME, old.version, "retired", actor="learning", now=now, record=why)

    def _move(self, now: datetime) -> None:
        """Let the oldest shadow serve, if the gate lets it and nobody went back to an earlier version."""
        model = next(iter(versions(self._db, NAME, ("shadow",))), None)
        if model is None or not self._judged or not self._settings.automatic or rolled_back(self._db, NAME):
            return
        if self._unmet_observation(model, now) or not self._judge(model).passed:
            return
        promote(self._db, model.version, verdict=self._judge(model), actor="learning", now=now)
        self._verdicts.clear()
        self._logger.info("weights.promoted", version=model.version)

    def _judge(self, model: ModelVersion) -> Verdict:
        deciding = at_stage(self._db, NAME, "serving")
        key = (model.version, deciding.version if deciding else BUILT_IN)
        if key not in self._verdicts:
            self._verdicts[key] = judge(self._judged, self._right(model), self._right(deciding))
        return self._verdicts[key]

    def _right(self, model: ModelVersion | None) -> dict[str, bool]:
        """Incident → whether the version puts its cause first, without what it remembers of that incident."""
        version = model.version if model else BUILT_IN
        if version not in self._right_of:
            self._right_of[version] = self._ranked_right(model)
        return self._right_of[version]

    def _ranked_right(self, model: ModelVersion | None) -> dict[str, bool]:
        cases = one_per_incident(self._judged)
        if model is None:
            return {case.id: case.right(self._shipped) for case in cases}
        weights, until = self._weights(model), model.learned_until
        remembered = [case for case in cases if case.at is None or case.at <= until]
        right = held_out(remembered, self._shipped)
        return right | {case.id: case.right(weights) for case in cases if case.id not in right}

    def _right_by_version(self) -> dict[tuple[int, str], bool]:
        models = versions(self._db, NAME, ("shadow", "serving"))
        by_version = {BUILT_IN: self._right(None)} | {model.version: self._right(model) for model in models}
        return {(version, name): right for version, found in by_version.items() for name, right in found.items()}

    def _unmet_observation(self, model: ModelVersion, now: datetime) -> tuple[str, ...]:
        observed_s, needed_s = (now - model.created_at).total_seconds(), self._settings.gate.shadow_s
        if observed_s >= needed_s:
            return ()
        return (f"it was in shadow for {observed_s:.0f} of {needed_s:.0f} s",)

    def _weights(self, model: ModelVersion | None) -> Mapping[str, float]:
        if model is None:
            return self._shipped
        try:
            # A kind of evidence may have been uninstalled since: its weight is nobody's.
            weights = known_only(parse(model.content.decode(), f"version {model.version}"), self._shipped)
        except (DiagnosisError, UnicodeDecodeError) as error:
            self.unreadable = (
                f"version {model.version} of the weights cannot be read, so the shipped ones serve: {error}"
            )
            return self._shipped
        self.unreadable = ""
        return complete(self._shipped, weights)


def promote(db: Database, version: int, *, verdict: Verdict, actor: str, now: datetime, why: str = "") -> None:
    """Let a version serve.

    Raises:
        NotFound: there is no such version.
        StateError: the gate refuses, and no `why` was given.
    """
    if not verdict.passed and not why:
        raise StateError(
            f"version {version} of the weights stays in shadow: {'; '.join(verdict.refused + verdict.waiting)}"
        )
    before = at_stage(db, NAME, "serving")
    record = {**verdict.record(), "before": before.version if before else BUILT_IN, "forced": not verdict.passed}
    stage(db, NAME, version, "serving", actor=actor, now=now, record=record | ({"why": why} if why else {}))


def rollback(db: Database, *, actor: str, now: datetime, why: str = "") -> int:
    """Serve what served before, exactly; 0 is the shipped weights. Nothing moves by itself until somebody promotes.

    Raises:
        StateError: the shipped weights serve already.
    """
    current = at_stage(db, NAME, "serving")
    if current is None:
        raise StateError("there is nothing to roll back to: the shipped weights serve")
    before = served_before(db, NAME, current.version)
    record = {"why": why or "rolled back", "rollback": True, "rolled back": current.version, "before": BUILT_IN}
    if before:
        stage(db, NAME, before, "serving", actor=actor, now=now, record=record)
    else:
        stage(db, NAME, current.version, "retired", actor=actor, now=now, record=record)
    return before


def _with_waiting(verdict: Verdict, waiting: tuple[str, ...]) -> Verdict:
    return Verdict(
        refused=verdict.refused,
        waiting=verdict.waiting + waiting,
        incidents=verdict.incidents,
        candidate=verdict.candidate,
        serving=verdict.serving,
    )
