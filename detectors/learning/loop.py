"""Learning while watching: labels become versions, a new version shadows, and what is promoted decides."""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from detectors.learning import versions as registry
from detectors.learning.callers import explained
from detectors.learning.episodes import LONGEST_BEFORE, Episodes
from detectors.learning.examples import Example, examples, labelled
from detectors.learning.gate import Verdict
from detectors.learning.judged import JudgedIncident, incidents_since
from detectors.learning.model import BUILT_IN, Guard, LearnedModel
from detectors.learning.suppression import Group, barred, suppress
from detectors.learning.train import train
from watchkeeper.clock import Clock
from watchkeeper.config import LearningConfig
from watchkeeper.errors import StateError
from watchkeeper.state.changes import changes_between
from watchkeeper.state.database import Database
from watchkeeper.state.insert import upsert
from watchkeeper.state.labels import labels
from watchkeeper.state.models import ModelVersion, at_stage, put_model, rolled_back, stage, versions
from watchkeeper.state.schema import shadow_verdicts
from watchkeeper.vocabulary import ChangeEvent, Finding, Label, Window

SUPPRESSED = Counter(
    "watchkeeper_findings_suppressed_total", "Findings that a model suppressed: tickets instead of pages.", ["stage"]
)
PREDICTION_SECONDS = Histogram("watchkeeper_model_prediction_seconds", "Time to judge one tick's findings.")
UNREADABLE = Counter("watchkeeper_model_unreadable_total", "Versions that could not be read: they decide nothing.")

CODE: Final = "3"  # raise it when training changes
TICKS_TIMED: Final = 30  # a minute of ticks: the median of so many is no single hiccup
# An alert may have begun weeks ago, or say that it began in the year 1: nobody looks for changes so far back.
OLDEST_CHANGE: Final = timedelta(days=1)
# What candidates judge beside the version that decides: the newest incidents, which are enough to show a difference.
SHADOWED_FOR: Final = timedelta(hours=1)
SHADOWED_AT_MOST: Final = 50
DEFAULTS: Final = LearningConfig()


@dataclass(frozen=True, slots=True)
class _Model:
    version: str
    learned: LearnedModel


class Learner:
    """Trains, shadows and serves the detector model. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, settings: LearningConfig = DEFAULTS) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._logger = structlog.get_logger()
        self._lock = threading.Lock()
        self._episodes = Episodes()
        self._outside = Episodes()
        self._paged: frozenset[str] = frozenset()
        self._labels_seen: tuple[Label, ...] | None = None
        self._known: tuple[Example, ...] = ()
        self._shadowed: dict[tuple[int, str], tuple[float, bool]] = {}
        self._verdicts: dict[tuple[int, int], Verdict] = {}
        self._seconds: deque[float] = deque(maxlen=TICKS_TIMED)
        self.unreadable = ""
        self._serving = _Model("0", BUILT_IN)
        self._canary: _Model | None = None
        self._barred: frozenset[Group] = frozenset()
        self._reload()

    def version(self) -> str:
        """The version that serves; "0" is what is built in."""
        return self._serving.version

    def judge(self, findings: Sequence[Finding], now: datetime, edges: Sequence[tuple[str, str]] = ()) -> list[Finding]:
        """The findings of one tick, those that the deciding version suppresses as tickets with their reason.

        `edges` are the calls seen lately, (caller, callee): what is suppressed explains its callers, too.
        """
        began = time.perf_counter()
        judged = [self._judged(finding) for finding in self._episodes.follow(findings, self._changes(findings, now))]
        judged = self._with_callers(judged, frozenset(edges))
        self._paged = frozenset(finding.key for finding in judged if finding.severity == "page")
        self._seconds.append(time.perf_counter() - began)
        PREDICTION_SECONDS.observe(self._seconds[-1])
        return judged

    def follow_outside(self, findings: Sequence[Finding], now: datetime) -> list[Finding]:
        """Alerts that other systems raise, with what their episodes came to: no version may suppress them."""
        return self._outside.follow(findings, self._changes(findings, now))

    def _with_callers(self, judged: list[Finding], edges: frozenset[tuple[str, str]]) -> list[Finding]:
        """Suppress the callers of what is suppressed, then theirs, as far as that explains them."""
        suppressed = [finding for finding in judged if finding.suppression]
        fresh = bool(suppressed) and bool(edges)
        while fresh:
            fresh = False
            for place, finding in enumerate(judged):
                model, name = self._deciding(finding.service)
                if not self._may_suppress(finding) or model.learned.guard.is_severe(finding):
                    continue
                decision = explained(finding, model.learned.probability(finding), suppressed, edges)
                if decision.pages:
                    continue
                SUPPRESSED.labels(name).inc()
                judged[place] = suppress(finding, decision, model.version)
                suppressed.append(judged[place])
                fresh = True
        return judged

    @property
    def seconds_per_tick(self) -> float:
        """How long the findings of a tick usually took lately."""
        return statistics.median(self._seconds) if self._seconds else 0.0

    def _changes(self, findings: Sequence[Finding], now: datetime) -> tuple[ChangeEvent, ...]:
        """The changes that may lie behind what could page now."""
        onsets = [finding.onset for finding in findings if finding.severity == "page"]
        if not onsets:
            return ()
        since = min(max(min(onsets), now - OLDEST_CHANGE), now)
        return changes_between(self._db, Window(start=since - LONGEST_BEFORE, end=now + timedelta(seconds=1)))

    def _may_suppress(self, finding: Finding) -> bool:
        """Whether any version may suppress it: a finding that paged stays a page until it ends."""
        return (
            finding.severity == "page"
            and finding.kind not in ("alert", "slo")
            and (finding.detector, finding.service) not in self._barred
            and finding.key not in self._paged
        )

    def _judged(self, finding: Finding) -> Finding:
        if not self._may_suppress(finding):
            return finding
        model, name = self._deciding(finding.service)
        decision = model.learned.decide(finding)
        if decision.pages:
            return finding
        SUPPRESSED.labels(name).inc()
        return suppress(finding, decision, model.version)

    def _deciding(self, service: str) -> tuple[_Model, str]:
        canary = self._canary
        if canary and in_canary(service, self._settings.gate.canary_share):
            return canary, "canary"
        return self._serving, "serving"

    def run(self, now: datetime) -> tuple[Example, ...]:
        """Train on new labels, let candidates judge recent incidents beside, move on what earned it, and reload.

        Returns the labelled findings that it went by.
        """
        with self._lock:
            for one in versions(self._db, registry.NAME, ("shadow", "canary")):
                if self._read(one) is None:
                    self._retire(one, self.unreadable, now)
            given = labels(self._db)
            if given != self._labels_seen:
                self._known = examples(self._db, given)
                self._verdicts.clear()
                if self._known:
                    self._train(self._known, now)
                self._labels_seen = given
            self._move(self._known, now)
            self._shadow(now)
            self._reload()
        return self._known

    def _train(self, known: tuple[Example, ...], now: datetime) -> None:
        learned = train(known, Guard.of(self._settings.guard))
        by_source = labelled(known)
        lineage = {
            "human labels": by_source["human"],
            "chaos labels": by_source["chaos"],
            "findings": len(known),
            "last label": max(example.at for example in known).isoformat(),
            "first onset": min(example.finding.onset for example in known).isoformat(timespec="seconds"),
            "last onset": max(example.finding.onset for example in known).isoformat(timespec="seconds"),
            "code": CODE,
        }
        newest = max((one.version for one in versions(self._db, registry.NAME, newest=1)), default=0)
        model = put_model(self._db, registry.NAME, learned.to_bytes(), lineage, now)
        if model.version <= newest:
            return  # the same content as before
        serving = self._read(at_stage(self._db, registry.NAME, "serving")) or BUILT_IN
        self._logger.info("model.trained", version=model.version, would_change=_would_change(learned, serving, known))
        # One that passes goes on being watched, lest every new label set its clock back; the newest is next in turn.
        oldest, *others = versions(self._db, registry.NAME, ("shadow",))
        stale = others[:-1] if self._verdict(oldest, known, now).passed else [oldest, *others][:-1]
        for one in stale:
            self._retire(one, f"version {model.version} has learned more", now)

    def _move(self, known: tuple[Example, ...], now: datetime) -> None:
        """One step for the version that is next: a canary that the gate refuses retires, one that passes serves."""
        waits = versions(self._db, registry.NAME, ("canary", "shadow"))
        canary = next((one for one in waits if one.stage == "canary"), None)
        model = canary or next(iter(waits), None)
        if model is None or not known:
            return
        if canary and (refused := self._verdict(canary, known, now).refused):
            self._retire(canary, f"the gate refuses what it does as a canary: {'; '.join(refused)}", now)
            return
        if not self._settings.automatic or rolled_back(self._db, registry.NAME):
            return
        rules = self._settings.gate
        # What takes long is asked last: time first, then the labels, then all of it once more in the promotion.
        if registry.unmet_observation(self._db, model, now, rules, known) or self._verdict(model, known, now).reasons:
            return
        try:
            to, _ = registry.promote(self._db, model.version, actor="learning", now=now, rules=rules)
        except StateError as error:
            self._logger.info("model.stays", version=model.version, reason=error.message)
            return
        self._verdicts.clear()
        self._logger.info("model.promoted", version=model.version, stage=to)

    def _verdict(self, model: ModelVersion, known: tuple[Example, ...], now: datetime) -> Verdict:
        """What the gate says of a version by the labels alone; the same until there are others."""
        serving = at_stage(self._db, registry.NAME, "serving")
        key = (model.version, serving.version if serving else 0)
        if key not in self._verdicts:
            patient = self._settings.gate.model_copy(update={"shadow_s": 0, "canary_s": 0, "canary_labels": 0})
            self._verdicts[key] = registry.gate(self._db, model, now, patient, known)
        return self._verdicts[key]

    def _retire(self, model: ModelVersion, why: str, now: datetime) -> None:
        stage(self._db, registry.NAME, model.version, "retired", actor="learning", now=now, record={"why": why})
        self._logger.info("model.retired", version=model.version, reason=why)

    def _shadow(self, now: datetime) -> None:
        """Record what every version that does not decide would have said of the last hour's incidents."""
        candidates = versions(self._db, registry.NAME, ("shadow", "canary"))
        if not candidates:
            return
        with self._db.read() as connection:
            recent = incidents_since(connection, now - SHADOWED_FOR, SHADOWED_AT_MOST)
        judged = {
            (model.version, incident.id): verdict_on(learned, incident)
            for model in candidates
            if (learned := self._read(model)) is not None
            for incident in recent
        }
        news = {key: verdict for key, verdict in judged.items() if self._shadowed.get(key) != verdict}
        if news:
            with self._db.write() as connection:
                for (version, incident_id), (chance, pages) in news.items():
                    row = {"name": registry.NAME, "version": version, "incident_id": incident_id}
                    upsert(connection, shadow_verdicts, {**row, "would_page": int(pages), "score": chance})
        self._shadowed = judged

    def _reload(self) -> None:
        serving = at_stage(self._db, registry.NAME, "serving")
        canary = at_stage(self._db, registry.NAME, "canary")
        self.unreadable = ""
        learned, tried = self._read(serving), self._read(canary)
        # Without a version that can be read, everything pages: noise is safe, silence is not.
        self._serving = _Model(str(serving.version), learned) if serving and learned else _Model("0", BUILT_IN)
        self._canary = _Model(str(canary.version), tried) if canary and tried else None
        self._barred = barred(self._db)

    def _read(self, model: ModelVersion | None) -> LearnedModel | None:
        """A version's content; None where there is none that can be read."""
        if model is None:
            return None
        try:
            return registry.load(model)
        except StateError as error:
            if not self.unreadable:
                UNREADABLE.inc()
            self.unreadable = f"version {model.version} cannot be read, so it decides nothing: {error.message}"
            return None


def in_canary(service: str, share: float = DEFAULTS.gate.canary_share) -> bool:
    """Whether a service is in the share where a canary decides; always the same ones."""
    return int(hashlib.sha256(service.encode()).hexdigest()[:8], 16) / 16**8 < share


def verdict_on(learned: LearnedModel, incident: JudgedIncident) -> tuple[float, bool]:
    """What a version decides about an incident: its best finding's chance, and whether it pages."""
    findings = [finding for finding in incident.findings if finding.severity == "page"]
    if not findings:
        return 0.0, False
    decisions = [learned.decide(finding) for finding in findings]
    return max(one.chance for one in decisions), any(one.pages for one in decisions)


def _would_change(learned: LearnedModel, serving: LearnedModel, known: Sequence[Example]) -> str:
    """In words: what the new version would do differently with the incidents that are labelled."""
    before: dict[str, bool] = {}
    after: dict[str, bool] = {}
    for example in known:
        one = example.incident_id
        before[one] = before.get(one, False) or serving.pages(example.finding)
        after[one] = after.get(one, False) or learned.pages(example.finding)
    quieter = sum(before[one] and not after[one] for one in before)
    louder = sum(after[one] and not before[one] for one in before)
    return f"{quieter} of {len(before)} labelled incidents would not have paged, {louder} more would have"
