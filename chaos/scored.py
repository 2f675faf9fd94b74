"""What became of each experiment, in numbers: read from the incidents' events, which are kept anyway.

Nothing is recorded for this: the truth says what was broken and when, the incidents' events say when somebody was
paged, what the diagnosis named, and how it ended.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from chaos.journal import ExperimentTruth, Outcome, recorded
from chaos.truth import incidents_so_far
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.labels import newest
from watchkeeper.state.models import deciding_version
from watchkeeper.state.schema import incident_events, labels, promotions
from watchkeeper.vocabulary import Label

AT_ONCE: Final = 400  # incidents in one query
_TYPES: Final = (
    "opened", "raised", "paged", "delivered", "diagnosed", "acknowledged", "run_started", "run_finished", "recovered",
    "resolved",
)  # fmt: skip
_READ: Final = ("opened", "raised", "diagnosed", "run_finished")  # of these the body is needed, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one diagnosis says, against the truth.

    `rank` of the service at fault among the services that it names, from 1; None: it is not among them. `mechanism` is
    the one that the first suspect has.
    """

    rank: int | None
    mechanism: str
    abstained: bool
    first: str = ""

    @property
    def right(self) -> bool:
        """Whether a human was told the cause: the first suspect is the service at fault, and is named as the cause."""
        return self.rank == 1 and not self.abstained


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredExperiment:
    """One experiment, or control window, with what the first incident that it caused came to.

    Seconds count from the effect on, but for `cleared_s`, from the end of the fault to the recovery of the incident,
    and `acknowledged_s`, from the page to the human. None: it did not happen, or nobody can know.

    Attributes:
        version: what watched: the release, and the version of the learned model that decided.
        detector: with its version, of the finding that opened the incident; empty where none did.
        incidents: that pages announced, oldest first; more than one are pages too many.
        repaired_s: to the recovery, where a runbook had run before.
        at_page: the diagnosis that went out with the page; `answer`: the last one before the fault ended, or
            a runbook began to repair it.
        run: whether the runbook succeeded; None where none was run.
        human: of each human label of its incidents, whether it agrees with the truth.
    """

    truth: ExperimentTruth
    outcome: Outcome | None
    version: str
    detector: str = ""
    incidents: tuple[str, ...] = ()
    detected_s: float | None = None
    paged_s: float | None = None
    acknowledged_s: float | None = None
    repaired_s: float | None = None
    cleared_s: float | None = None
    at_page: Answer | None = None
    answer: Answer | None = None
    run: bool | None = None
    human: tuple[bool, ...] = ()

    @property
    def cell(self) -> tuple[str, str]:
        """What was tested: the service and the fault."""
        return self.truth.service, self.truth.fault

    @property
    def is_control(self) -> bool:
        return not self.truth.fault

    @property
    def counts(self) -> bool:
        """Whether it says something about detection: its fault took effect, and its time is over."""
        return self.outcome in ("found", "missed", "joined")

    @property
    def found(self) -> bool:
        return self.outcome == "found"


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One event of an incident; `body` is empty where its type says all."""

    type: str
    at: datetime
    via: str
    body: Mapping[str, Any]


def scored_experiments(db: Database) -> tuple[ScoredExperiment, ...]:
    """Every experiment and control window, oldest first."""
    with db.read() as connection:
        known = [
            (truth, outcome, truth.incidents if outcome else incidents_so_far(connection, truth))
            for truth, outcome in recorded(connection)
        ]
        ids = sorted({incident_id for _, _, incidents in known for incident_id in incidents})
        events, given = _events(connection, ids), _labels(connection, ids)
        versions = _Versions(connection)
        return tuple(
            score(
                truth,
                # A page that came is there to stay: what is to be settled is only whether none came.
                outcome or ("found" if truth.took_effect and incidents else None),
                incidents,
                version=f"{truth.release or 'unknown release'}, {versions.at(truth.began)}",
                events=[events.get(incident_id, []) for incident_id in incidents],
                human=[label for incident_id in incidents for label in given.get(incident_id, ())],
            )
            for truth, outcome, incidents in known
        )


def unsealed(known: Iterable[ScoredExperiment], now: datetime) -> tuple[ScoredExperiment, ...]:
    """Those that may be shown: which fault a game day is, nobody sees before its end."""
    return tuple(one for one in known if not one.truth.sealed or one.truth.ended <= now)


def score(
    truth: ExperimentTruth,
    outcome: Outcome | None,
    incidents: Sequence[str],
    *,
    version: str,
    events: Sequence[Sequence[IncidentEvent]],
    human: Iterable[Label],
) -> ScoredExperiment:
    """Score one experiment from its incidents' events, each in order. Pure."""
    own = events[0] if events and outcome != "joined" else []
    agree = tuple(_agrees(label, truth) for label in human) if outcome in ("found", "false page") else ()
    scored = ScoredExperiment(truth=truth, outcome=outcome, version=version, incidents=tuple(incidents), human=agree)
    if not own or not truth.fault:
        return scored
    effect_at = truth.effect_at or truth.began
    paged_at = _first(own, "delivered") or _first(own, "paged")
    ran = [event for event in own if event.type == "run_finished"]
    repaired_at = next((event.at for event in ran if event.body.get("succeeded")), None)
    diagnoses = [event for event in own if event.type == "diagnosed"]
    opening = _opening(own, truth)
    return replace(
        scored,
        detector=_detector(opening),
        detected_s=_seconds(effect_at, opening.at if opening else None),
        paged_s=_seconds(effect_at, paged_at),
        acknowledged_s=_seconds(paged_at, _first(own, "acknowledged", human=True)) if paged_at else None,
        repaired_s=_seconds(effect_at, _first(own, "recovered", repaired_at)) if repaired_at else None,
        cleared_s=_seconds(truth.ended, _first(own, "recovered", truth.ended)),
        at_page=_answer(_stood(diagnoses, paged_at), truth),
        answer=_answer(_stood(diagnoses, min(truth.ended, _first(own, "run_started") or truth.ended)), truth),
        run=bool(repaired_at) if ran else None,
    )


def _agrees(label: Label, truth: ExperimentTruth) -> bool:
    """Whether a human's label says what is true: was the page warranted, and where a cause is named, is it the one."""
    if label.warranted is not None and label.warranted != bool(truth.fault):
        return False
    return label.cause is None or truth.is_caused_by(label.cause)


def _opening(events: Sequence[IncidentEvent], truth: ExperimentTruth) -> IncidentEvent | None:
    """What began it: a page's opening, or of an older ticket its raising."""
    return next((one for one in events if one.type in ("opened", "raised") and one.at >= truth.began), None)


def _detector(opening: IncidentEvent | None) -> str:
    finding = opening.body.get("finding") if opening else None
    return f"{finding['detector']} {finding['detector_version']}" if finding else ""


def _first(
    events: Iterable[IncidentEvent], kind: str, since: datetime | None = None, *, human: bool = False
) -> datetime | None:
    return next(
        (
            one.at
            for one in events
            if one.type == kind and (since is None or one.at >= since) and not (human and one.via == "system")
        ),
        None,
    )


def _stood(diagnoses: Sequence[IncidentEvent], at: datetime | None) -> IncidentEvent | None:
    """The diagnosis that stood at a time; the first one where none had been made by then."""
    before = [one for one in diagnoses if at is None or one.at <= at]
    return before[-1] if before else diagnoses[0] if diagnoses else None


def _answer(diagnosed: IncidentEvent | None, truth: ExperimentTruth) -> Answer | None:
    diagnosis = diagnosed.body.get("diagnosis") if diagnosed else None
    if not diagnosis:
        return None
    suspects = diagnosis["suspects"]
    services = list(dict.fromkeys(suspect["service"] for suspect in suspects))
    return Answer(
        rank=next((place for place, name in enumerate(services, 1) if truth.is_caused_by(name)), None),
        mechanism=suspects[0]["mechanism"] if suspects else "unknown",
        abstained=bool(diagnosis["abstained"]),
        first=services[0] if services else "",
    )


def _seconds(since: datetime, at: datetime | None) -> float | None:
    """A human may be faster than the proof of the effect: nothing is detected before it."""
    return max(0.0, (at - since).total_seconds()) if at else None


def _events(connection: Connection, ids: Sequence[str]) -> dict[str, list[IncidentEvent]]:
    table, by_incident = incident_events, dict[str, list[IncidentEvent]]()
    columns = (table.c.incident_id, table.c.type, table.c.at, table.c.via, table.c.body)
    for first in range(0, len(ids), AT_ONCE):
        own = table.c.incident_id.in_(ids[first : first + AT_ONCE]) & table.c.type.in_(_TYPES)
        for row in connection.execute(select(*columns).where(own).order_by(table.c.incident_id, table.c.seq)):
            body = json.loads(row.body) if row.type in _READ else {}
            event = IncidentEvent(type=row.type, at=from_micros(row.at), via=row.via, body=body)
            by_incident.setdefault(row.incident_id, []).append(event)
    return by_incident


def _labels(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Label, ...]]:
    """What humans said of incidents, the newest of each."""
    given: dict[str, list[Label]] = {}
    for first in range(0, len(ids), AT_ONCE):
        own = labels.c.incident_id.in_(ids[first : first + AT_ONCE]) & (labels.c.source == "human")
        for body in connection.scalars(select(labels.c.body).where(own).order_by(labels.c.at, labels.c.id)):
            label = parse(Label, body)
            given.setdefault(label.incident_id, []).append(label)
    return {incident_id: newest(known) for incident_id, known in given.items()}


class _Versions:
    """Which version of the detectors' model decided at a time; asks the database once for each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._moves = list(connection.scalars(select(promotions.c.at).order_by(promotions.c.at)))
        self._known: dict[int, str] = {}

    def at(self, when: datetime) -> str:
        number = bisect_right(self._moves, int(when.timestamp() * 1e6))
        if number not in self._known:
            self._known[number] = deciding_version(self._connection, when)
        return self._known[number]
