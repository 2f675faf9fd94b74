"""The detector model's life: shadow, canary, serving, retired. Every step is recorded with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from detectors.learning.examples import Example, examples
from detectors.learning.gate import Pages, Verdict, cross_validated, judge
from detectors.learning.model import BUILT_IN, LearnedModel
from detectors.learning.train import train
from watchkeeper.config import GateConfig
from watchkeeper.errors import StateError
from watchkeeper.state.database import Database
from watchkeeper.state.models import (
    DETECTORS,
    ModelVersion,
    Stage,
    at_stage,
    promotion_records,
    served_before,
    stage,
    version_of,
)

NAME: Final = DETECTORS
DEFAULT_RULES: Final = GateConfig()


def load(version: ModelVersion | None) -> LearnedModel:
    """A version's content; without one, what is built in.

    Raises:
        StateError: the content cannot be read.
    """
    return LearnedModel.from_bytes(version.content) if version else BUILT_IN


def readable(version: ModelVersion | None) -> LearnedModel | None:
    """A version's content; None where there is none, or none that can be read."""
    try:
        return LearnedModel.from_bytes(version.content) if version else None
    except StateError:
        return None


def gate(
    db: Database,
    version: ModelVersion,
    now: datetime,
    rules: GateConfig = DEFAULT_RULES,
    known: tuple[Example, ...] | None = None,
) -> Verdict:
    """Judge a version on every label there is, and on how long it has been observed.

    What it learned from is judged by models fitted without the incident; what was labelled since, by the version.
    `known` are the labelled findings, where the caller has read them already.
    """
    known = examples(db) if known is None else known
    candidate, deciding = load(version), at_stage(db, NAME, "serving")
    verdict = judge(
        candidate,
        readable(deciding) or BUILT_IN,  # which decides where the version that should cannot be read
        known,
        _pages(candidate, version, known),
        rules,
        lambda example: deciding is None or example.at > deciding.learned_until,
    )
    return replace(verdict, waiting=verdict.waiting + unmet_observation(db, version, now, rules, known))


def _pages(candidate: LearnedModel, version: ModelVersion, known: tuple[Example, ...]) -> Pages:
    """Whether a version pages for an example, without what it remembers of it."""
    fit = partial(train, guard=candidate.guard)
    until = version.learned_until
    learned_from = [example for example in known if example.at <= until]
    if fit(learned_from).to_bytes() != candidate.to_bytes():
        return lambda example: candidate.pages(example.finding)  # not ours, or its labels have changed since
    remembered = cross_validated(learned_from, fit)
    return lambda example: remembered(example) if example.at <= until else candidate.pages(example.finding)


def unmet_observation(
    db: Database, version: ModelVersion, now: datetime, rules: GateConfig, known: tuple[Example, ...]
) -> tuple[str, ...]:
    """What a version still waits for in its stage: its minimum observation time, and labels."""
    since = stage_since(db, version)
    needed_s = rules.canary_s if version.stage == "canary" else rules.shadow_s
    observed_s = (now - since).total_seconds()
    waiting = []
    if observed_s < needed_s:
        waiting.append(f"it was observed in {version.stage} for {observed_s:.0f} of {needed_s:.0f} s")
    if version.stage == "canary":
        judged = len({example.incident_id for example in known if example.at > since})
        if judged < rules.canary_labels:
            waiting.append(f"{judged} of {rules.canary_labels} incidents were labelled while it was a canary")
    return tuple(waiting)


def stage_since(db: Database, version: ModelVersion) -> datetime:
    """When a version came to its stage."""
    moved = [one.at for one in promotion_records(db, NAME) if one.version == version.version]
    return max([version.created_at, *moved])


def promote(
    db: Database,
    version: int,
    *,
    actor: str,
    now: datetime,
    rules: GateConfig = DEFAULT_RULES,
    force: bool = False,
    why: str = "",
) -> tuple[Stage, Verdict]:
    """Move a version one stage on: shadow to canary, canary to serving; through the gate.

    Raises:
        NotFound: there is no such version.
        StateError: the gate refuses (and `force` was not given), the version serves already or is retired, or it
            cannot be read.
    """
    model = version_of(db, NAME, version)
    if model.stage == "serving":
        raise StateError(f"version {version} serves already")
    if model.stage == "retired" and not force:
        raise StateError(f"version {version} is retired; label more incidents, and a new one is trained")
    verdict = gate(db, model, now, rules)
    if not verdict.passed and not force:
        raise StateError(
            f"version {version} stays in {model.stage}: {'; '.join(verdict.reasons)}. "
            "Label more incidents or wait, or give --force with a reason."
        )
    to: Stage = "serving" if model.stage == "canary" else "canary"
    before = at_stage(db, NAME, "serving")
    record: Mapping[str, Any] = {
        **verdict.record(),
        "from": model.stage,
        "watched_s": round((now - stage_since(db, model)).total_seconds(), 1),
        "rules": rules.model_dump(),
        "before": before.version if before else 0,
        "forced": force and not verdict.passed,
        **({"why": why} if why else {}),
    }
    stage(db, NAME, version, to, actor=actor, now=now, record=record)
    return to, verdict


def rollback(db: Database, *, actor: str, now: datetime, why: str = "") -> int:
    """End the canary if one runs; else serve what served before, exactly: the same bytes.

    Returns the version that serves now; 0 is the built-in one. Until somebody promotes, no version moves by itself.

    Raises:
        StateError: nothing serves but what is built in, and no canary runs.
    """
    canary = at_stage(db, NAME, "canary")
    current = at_stage(db, NAME, "serving")
    record: dict[str, Any] = {"why": why or "rolled back", "rollback": True}
    if canary:
        serves = current.version if current else 0
        stage(db, NAME, canary.version, "retired", actor=actor, now=now, record={**record, "before": serves})
        return serves
    if current is None:
        raise StateError("there is nothing to roll back to: the built-in settings serve, and no canary runs")
    before = served_before(db, NAME, current.version)
    record["before"] = before
    if before:
        stage(db, NAME, before, "serving", actor=actor, now=now, record={**record, "rolled back": current.version})
    else:
        stage(db, NAME, current.version, "retired", actor=actor, now=now, record=record)
    return before
