"""Learning while watching: labels become versions, a new version shadows, and what is promoted decides."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from alerting import journal
from alerting.machine import Incident
from detectors.red import RedThresholds
from watchkeeper.clock import Clock
from watchkeeper.errors import StateError
from watchkeeper.learning import registry
from watchkeeper.learning.examples import Example, examples
from watchkeeper.learning.gate import held_out, judge
from watchkeeper.learning.learnt import BUILT_IN, Learnt
from watchkeeper.learning.suppression import barred, hold_back
from watchkeeper.learning.train import train
from watchkeeper.state.database import Database
from watchkeeper.state.insert import upsert
from watchkeeper.state.models import ModelVersion, at_stage, put_model, stage, versions
from watchkeeper.state.schema import shadow_verdicts
from watchkeeper.vocabulary import Finding

HELD_BACK = Counter("watchkeeper_findings_held_back_total", "Findings that a model turned into tickets.", ["stage"])
PREDICTION_SECONDS = Histogram("watchkeeper_model_prediction_seconds", "Time to judge one tick's findings.")

CANARY_SHARE: Final = 0.25  # of the services
PROMOTE_AFTER: Final = 10  # labelled incidents of each source before a version is promoted without being asked
CANARY_LABELS: Final = 5  # further ones of each source before a canary serves, or retires
CODE: Final = "1"  # raise it when training changes


@dataclass(frozen=True, slots=True)
class _Model:
    version: str
    learnt: Learnt


class Learner:
    """Trains, shadows and serves the detector model. Threads may share one."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._logger = structlog.get_logger()
        self._lock = threading.Lock()
        self._labels_seen = -1
        self.seconds_per_tick = 0.0
        self._serving = _Model("0", BUILT_IN)
        self._canary: _Model | None = None
        self._barred: frozenset[str] = frozenset()
        self._reload()

    def thresholds(self) -> RedThresholds:
        """What the serving version learnt for the detectors' own decisions."""
        return self._serving.learnt.thresholds()

    def version(self) -> str:
        """The version that serves; "0" is what is built in."""
        return self._serving.version

    def judge(self, findings: Sequence[Finding], now: datetime) -> list[Finding]:  # noqa: ARG002 - part of the contract
        """The findings, those that the deciding version holds back as tickets with their reason."""
        began = time.perf_counter()
        judged = [self._judged(finding) for finding in findings]
        self.seconds_per_tick = time.perf_counter() - began
        PREDICTION_SECONDS.observe(self.seconds_per_tick)
        return judged

    def _judged(self, finding: Finding) -> Finding:
        model, name = self._deciding(finding.service)
        group = f"{finding.detector}|{finding.service}"
        if finding.severity != "page" or finding.kind in ("alert", "slo") or group in self._barred:
            return finding
        if model.learnt.pages(finding):
            return finding
        HELD_BACK.labels(name).inc()
        return hold_back(finding, model.learnt, model.version)

    def _deciding(self, service: str) -> tuple[_Model, str]:
        canary = self._canary
        if canary and in_canary(service):
            return canary, "canary"
        return self._serving, "serving"

    def run(self, now: datetime) -> tuple[Example, ...]:
        """Train on new labels, let candidates judge recent incidents beside, promote what earned it, and reload.

        Returns the labelled findings that it went by.
        """
        with self._lock:
            known = examples(self._db)
            if known and len(known) != self._labels_seen:
                self._train(known, now)
                self._labels_seen = len(known)
            self._shadow(now)
            self._reload()
        return known

    def _train(self, known: tuple[Example, ...], now: datetime) -> None:
        learnt = train(known)
        by_source = _labelled(known)
        serving = registry.load(at_stage(self._db, registry.NAME, "serving"))
        verdict = judge(learnt, serving, known, held_out(known, train))
        lineage = {
            "human labels": by_source["human"],
            "chaos labels": by_source["chaos"],
            "findings": len(known),
            "first onset": min(example.finding.onset for example in known).isoformat(timespec="seconds"),
            "last onset": max(example.finding.onset for example in known).isoformat(timespec="seconds"),
            "code": CODE,
            **verdict.record(),
        }
        before = {version.version for version in versions(self._db, registry.NAME)}
        model = put_model(self._db, registry.NAME, learnt.to_bytes(), lineage, now)
        if model.version in before:
            return
        for older in versions(self._db, registry.NAME):
            if older.stage == "shadow" and older.version != model.version:
                record = {"why": f"version {model.version} has learnt more"}
                stage(self._db, registry.NAME, older.version, "retired", actor="learning", now=now, record=record)
        self._logger.info("model.trained", version=model.version, would_change=_would_change(learnt, serving, known))
        canary = at_stage(self._db, registry.NAME, "canary")
        if canary:
            self._settle(canary, by_source, now)
        elif min(by_source.values()) >= PROMOTE_AFTER and verdict.passed:
            self._promote(model.version, now)

    def _settle(self, canary: ModelVersion, by_source: Mapping[str, int], now: datetime) -> None:
        """A canary that was judged by enough new labels serves if the gate still lets it, and retires if not."""
        new = min(count - int(canary.lineage.get(f"{source} labels", 0)) for source, count in by_source.items())
        if new >= CANARY_LABELS and not self._promote(canary.version, now):
            record = {"why": "the gate refused what it did as a canary"}
            stage(self._db, registry.NAME, canary.version, "retired", actor="learning", now=now, record=record)

    def _promote(self, version: int, now: datetime) -> bool:
        try:
            to, _ = registry.promote(self._db, version, actor="learning", now=now)
        except StateError as error:
            self._logger.info("model.stays", version=version, reason=error.message)
            return False
        self._logger.info("model.promoted", version=version, stage=to)
        return True

    def _shadow(self, now: datetime) -> None:
        """Record what every version that does not decide would have said of the last hour's incidents."""
        candidates = [one for one in versions(self._db, registry.NAME) if one.stage in ("shadow", "canary")]
        if not candidates:
            return
        with self._db.read() as connection:
            recent = [one for one in journal.newest(connection, None, 50) if now - one.opened_at < timedelta(hours=1)]
        with self._db.write() as connection:
            for model in candidates:
                learnt = registry.load(model)
                for incident in recent:
                    chance, pages = verdict_on(learnt, incident)
                    row = {"name": model.name, "version": model.version, "incident_id": incident.id}
                    upsert(connection, shadow_verdicts, {**row, "would_page": int(pages), "score": chance})

    def _reload(self) -> None:
        serving = at_stage(self._db, registry.NAME, "serving")
        canary = at_stage(self._db, registry.NAME, "canary")
        self._serving = _Model(str(serving.version), registry.load(serving)) if serving else _Model("0", BUILT_IN)
        self._canary = _Model(str(canary.version), registry.load(canary)) if canary else None
        self._barred = barred(self._db)


def in_canary(service: str) -> bool:
    """Whether a service is in the share where a canary decides; always the same ones."""
    return int(hashlib.sha256(service.encode()).hexdigest()[:8], 16) / 16**8 < CANARY_SHARE


def verdict_on(learnt: Learnt, incident: Incident) -> tuple[float, bool]:
    """What a version would have said of an incident: its best finding's chance, and whether anybody is woken."""
    mine = [finding for finding in incident.findings if finding.severity == "page"]
    if not mine:
        return 0.0, False
    return max(learnt.probability(finding) for finding in mine), any(learnt.pages(finding) for finding in mine)


def _labelled(known: Sequence[Example]) -> dict[str, int]:
    """How many incidents each source has judged."""
    return {
        source: len({example.incident_id for example in known if example.source == source})
        for source in ("human", "chaos")
    }


def _would_change(learnt: Learnt, serving: Learnt, known: Sequence[Example]) -> str:
    """In words: what the new version would do differently with the incidents that are labelled."""
    before: dict[str, bool] = {}
    after: dict[str, bool] = {}
    for example in known:
        one = example.incident_id
        before[one] = before.get(one, False) or serving.pages(example.finding)
        after[one] = after.get(one, False) or learnt.pages(example.finding)
    quieter = sum(before[one] and not after[one] for one in before)
    louder = sum(after[one] and not before[one] for one in before)
    return f"{quieter} of {len(before)} labelled incidents would not have paged, {louder} more would have"
