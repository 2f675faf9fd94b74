"""The trial's operator: promotes what was learned through the gate, later rolls it back and compares every decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from alerting.incidents import journal
from chaos.demo.processes import Patience
from detectors.learning import versions as registry
from detectors.learning.loop import Learner
from watchkeeper.clock import SystemClock
from watchkeeper.config import GateConfig
from watchkeeper.errors import StateError
from watchkeeper.state.database import Database
from watchkeeper.state.models import at_stage, promotion_records, version_of, versions
from watchkeeper.vocabulary import Finding

OPERATOR: Final = "operator"
VERSION_WITHIN_S: Final = 20.0  # of the last label: training takes seconds
GATE_WITHIN_S: Final = 5.0  # beyond what it wants a version to be watched
TAKEN_UP_S: Final = 8.0  # the watch role reads the registry every few seconds
INCIDENTS: Final = 500  # more than a trial opens


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What the operator did. `version` 0: nothing serves but what is built in, for the reason given."""

    version: int
    reason: str
    records: tuple[dict[str, Any], ...]
    rolled_back_to: int | None
    findings_compared: int
    same_decisions: bool | None


class Operator:
    """Promotes, maybe again, and rolls back to what served at first."""

    def __init__(self, db: Database, patience: Patience, notify: Callable[[str], None], rules: GateConfig) -> None:
        """`rules` are those of the watch role's own gate."""
        self._db = db
        self._rules = rules
        self._patience = patience
        self._notify = notify
        self._findings: tuple[Finding, ...] = ()
        self._before: list[Any] = []
        self._version = 0
        self._served_before = 0
        self._reason = "nothing was learned"

    def promote(self) -> None:
        """The newest candidate to serving, through the gate and never by force; wait as long as the gate wants."""
        if not self._findings:
            self._findings = self._known()
            self._served_before = _serving(self._db)
            self._before = _decisions(self._db, self._findings)
        for _ in self._patience.every(1.0, VERSION_WITHIN_S):
            if _candidate(self._db):
                break
        version = _candidate(self._db)
        for _ in self._patience.every(1.0, self._rules.shadow_s + self._rules.canary_s + GATE_WITHIN_S):
            if not version or version_of(self._db, registry.NAME, version).stage == "serving":
                break
            try:
                to, _ = registry.promote(
                    self._db, version, actor=OPERATOR, now=datetime.now(UTC), rules=self._rules, why="the trial's half"
                )
                self._reason = "the gate passed it"
                self._notify(f"◆ version {version} is promoted to {to}")
            except StateError as error:
                self._reason = error.message
        if _serving(self._db) != version:
            self._notify(f"◆ {self._reason}")
        self._version = _serving(self._db)
        self._patience.sleep(TAKEN_UP_S)

    def roll_back(self) -> Promotion:
        """Go back to what served before; every finding known then must be decided as it was then."""
        back_to: int | None = None
        same: bool | None = None
        if self._version != self._served_before:
            back_to = _serving(self._db)
            while back_to != self._served_before:
                back_to = registry.rollback(self._db, actor=OPERATOR, now=datetime.now(UTC), why="the trial is over")
            same = _decisions(self._db, self._findings) == self._before
            self._notify(f"◆ rolled back to version {back_to}: decisions are {'the same' if same else 'NOT the same'}")
        return Promotion(
            version=self._version,
            reason=self._reason,
            records=tuple(
                {
                    "version": made.version,
                    "stage": made.stage,
                    "actor": made.actor,
                    "at": made.at.isoformat(),
                    **made.record,
                }
                for made in promotion_records(self._db, registry.NAME)
            ),
            rolled_back_to=back_to,
            findings_compared=len(self._findings),
            same_decisions=same,
        )

    def _known(self) -> tuple[Finding, ...]:
        with self._db.read() as connection:
            incidents = journal.newest(connection, None, INCIDENTS)
        return tuple(finding for incident in incidents for finding in incident.findings)


def _decisions(db: Database, findings: Sequence[Finding]) -> list[Any]:
    """What a learner that starts now decides of each finding, thresholds and classifier together."""
    learner = Learner(db, SystemClock())
    judged = learner.judge(findings, datetime.now(UTC))
    return [learner.version(), *(asdict(finding) for finding in judged)]


def _serving(db: Database) -> int:
    version = at_stage(db, registry.NAME, "serving")
    return version.version if version else 0


def _candidate(db: Database) -> int:
    """The version that a human would promote next: the canary, else the newest in shadow; 0 where there is none."""
    if canary := at_stage(db, registry.NAME, "canary"):
        return canary.version
    return max((version.version for version in versions(db, registry.NAME) if version.stage == "shadow"), default=0)
