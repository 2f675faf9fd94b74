"""The detector model's life: shadow, canary, serving, retired. Every step is recorded with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from watchkeeper.errors import NotFound, StateError
from watchkeeper.learning.examples import examples
from watchkeeper.learning.gate import Verdict, held_out, judge
from watchkeeper.learning.learnt import BUILT_IN, Learnt
from watchkeeper.learning.train import train
from watchkeeper.state.database import Database
from watchkeeper.state.models import ModelVersion, Stage, at_stage, promotion_records, stage, versions

NAME: Final = "detectors"


def load(version: ModelVersion | None) -> Learnt:
    """A version's content; without one, what is built in."""
    return Learnt.from_bytes(version.content) if version else BUILT_IN


def find(db: Database, version: int) -> ModelVersion:
    """One version.

    Raises:
        NotFound: there is no such version.
    """
    for one in versions(db, NAME):
        if one.version == version:
            return one
    raise NotFound(f"model {NAME} has no version {version}; see `watchkeeper model list`")


def gate(db: Database, version: ModelVersion) -> Verdict:
    """Judge a version on every label there is. Its own labels are judged by models fitted without their incident."""
    known = examples(db)
    candidate, serving = load(version), load(at_stage(db, NAME, "serving"))
    as_trained = candidate.to_bytes() == train(known).to_bytes()
    pages = held_out(known, train) if as_trained else lambda example: candidate.pages(example.finding)
    return judge(candidate, serving, known, pages)


def promote(db: Database, version: int, *, actor: str, now: datetime, force: bool = False) -> tuple[Stage, Verdict]:
    """Move a version one stage on: shadow to canary, canary to serving; through the gate.

    Raises:
        NotFound: there is no such version.
        StateError: the gate refuses (and `force` was not given), or the version serves already.
    """
    model = find(db, version)
    if model.stage == "serving":
        raise StateError(f"version {version} serves already")
    verdict = gate(db, model)
    if not verdict.passed and not force:
        raise StateError(
            f"version {version} stays in {model.stage}: {'; '.join(verdict.reasons)}. "
            "Label more incidents, or give --force with a reason."
        )
    to: Stage = "serving" if model.stage == "canary" else "canary"
    before = at_stage(db, NAME, "serving")
    record: Mapping[str, Any] = {
        **verdict.record(),
        "from": model.stage,
        "before": before.version if before else 0,
        "forced": force and not verdict.passed,
    }
    stage(db, NAME, version, to, actor=actor, now=now, record=record)
    return to, verdict


def rollback(db: Database, *, actor: str, now: datetime, why: str = "") -> int:
    """Serve what served before, exactly: the same bytes. A canary ends. Returns the version; 0 is the built-in one.

    Raises:
        StateError: nothing serves but what is built in, and no canary runs.
    """
    canary = at_stage(db, NAME, "canary")
    current = at_stage(db, NAME, "serving")
    if canary:
        stage(db, NAME, canary.version, "retired", actor=actor, now=now, record={"why": why or "rolled back"})
    if current is None:
        if canary is None:
            raise StateError("there is nothing to roll back to: the built-in settings serve, and no canary runs")
        return 0
    before = _served_before(db, current.version)
    record = {"why": why or "rolled back", "rollback": True, "before": before}
    if before:
        stage(db, NAME, before, "serving", actor=actor, now=now, record={**record, "rolled back": current.version})
    else:
        stage(db, NAME, current.version, "retired", actor=actor, now=now, record=record)
    return before


def _served_before(db: Database, version: int) -> int:
    """What served when a version began to serve by promotion; 0 is the built-in one."""
    for promotion in reversed(promotion_records(db, NAME)):
        if promotion.version == version and promotion.stage == "serving" and not promotion.record.get("rollback"):
            return int(promotion.record.get("before", 0))
    return 0
