"""What merges teach: troubles that people put together twice are put together without them the third time.

A lesson is one pair of troubles that somebody merged, such as errors of cart with latency of blog; a row for each pair
of each merge. Two lessons of one pair, from two different occasions, group the next pair: the machine merges it as a
human would, with a sentence that names both merges. A split takes lessons back. The machine's own merges teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final

from sqlalchemy import ColumnElement, Connection, select, update

from alerting.incidents.grouping import Recent, is_close
from alerting.incidents.machine import Incident
from watchkeeper.errors import NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import from_micros, to_micros
from watchkeeper.state.insert import upsert_many
from watchkeeper.state.schema import merge_lessons
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Actor, Finding, content_key

# Merges of a pair, into different incidents, after which the next pair is grouped: one may be a coincidence.
ENOUGH: Final = 2
# Troubles of one incident that are compared: what a person reads of it at a glance, and no more, was merged knowingly.
MOST_TROUBLES: Final = 7
# Lessons that are read: the newest. Nobody merges so many incidents that an older one still counts.
MOST_LESSONS: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Trouble:
    """What makes two findings similar: the service, and the kind; of an alert from outside, its name."""

    service: str
    what: str

    @property
    def described(self) -> str:
        """`errors of cart`."""
        return f"{one_line(self.what, 60)} of {seen_name(self.service, 60)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two troubles, whichever came first: `one` sorts before `other`."""

    one: Trouble
    other: Trouble

    @property
    def id(self) -> str:
        """A short name, the same everywhere."""
        return content_key(self.one.service, self.one.what, self.other.service, self.other.what)

    @property
    def described(self) -> str:
        """`errors of cart with latency of blog`."""
        return f"{self.one.described} with {self.other.described}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One merge, as it counts for one pair of troubles. `forgotten_at` is when it ceased to count."""

    incident_id: str
    into: str
    at: datetime
    actor: str
    forgotten_at: datetime | None = None
    forgotten_by: str = ""

    @property
    def sentence(self) -> str:
        """`Ana merged inc-1 into inc-2 on 2026-03-01`."""
        return f"{self.actor} merged {self.incident_id} into {self.into} on {self.at:%Y-%m-%d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedGrouping:
    """A pair of troubles with the merges that count for it, the newest first."""

    pair: Pair
    lessons: tuple[Lesson, ...]
    forgotten: tuple[Lesson, ...] = ()

    @property
    def groups(self) -> bool:
        """Whether the next such pair is grouped without a human."""
        return len({lesson.into for lesson in self.lessons}) >= ENOUGH

    @property
    def reason(self) -> str:
        """Why a pair is grouped: the two newest merges, of different occasions."""
        occasions = {lesson.into: lesson for lesson in reversed(self.lessons)}
        newest = sorted(occasions.values(), key=lambda lesson: lesson.at)[-ENOUGH:]
        return f"{self.pair.described}, as {' and '.join(lesson.sentence for lesson in newest)}"


# Of each trouble, those that it is grouped with.
Taught = Mapping[Trouble, Mapping[Trouble, LearnedGrouping]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """The incident that what was just opened belongs to, and why."""

    incident_id: str
    reason: str


def record_lessons(connection: Connection, incident: Incident, into: Incident, actor: Actor, at: datetime) -> None:
    """Keep what a human's merge teaches, in the merge's own transaction. Both incidents are as they were before it."""
    if actor.via == "system":
        return
    rows = [
        {
            "incident_id": incident.id,
            "into_id": into.id,
            "pair": pair.id,
            "service": pair.one.service,
            "what": pair.one.what,
            "other_service": pair.other.service,
            "other_what": pair.other.what,
            "at": to_micros(at),
            "actor": one_line(actor.name, 100),
            "forgotten_at": None,
            "forgotten_by": "",
        }
        for pair in _pairs(incident.findings, into.findings)
    ]
    upsert_many(connection, merge_lessons, rows)


def unlearn_merge(
    connection: Connection, incident: Incident, into: Incident, rest: Sequence[Finding], actor: Actor, at: datetime
) -> None:
    """After a split: a human's merge counts no more. Where the machine had merged, no lesson of such a pair does.

    `incident` is as it was before it was split off; `rest` is what stays in `into`.
    """
    merges = [entry for entry in incident.timeline if entry.kind == "merged"]
    if merges and merges[-1].via == "system":
        pairs = [pair.id for pair in _pairs(incident.findings, rest)]
        _forget(connection, actor, at, merge_lessons.c.pair.in_(pairs))
    else:
        of_this = (merge_lessons.c.incident_id == incident.id, merge_lessons.c.into_id == into.id)
        _forget(connection, actor, at, *of_this)


def forget_grouping(connection: Connection, pair: str, actor: Actor, at: datetime) -> LearnedGrouping:
    """Let no merge so far count for a pair; people may teach it anew.

    Raises:
        NotFound: nothing was learned of such a pair.
    """
    known = next((one for one in learned_groupings(connection) if one.pair.id == pair), None)
    if known is None:
        raise NotFound(f"nothing was learned of a pair {one_line(pair, 60)}; see `watchkeeper grouping list`")
    if known.lessons:
        _forget(connection, actor, at, merge_lessons.c.pair == pair)
        record_audit(connection, at, actor, "grouping.forget", pair, known.pair.described)
    return known


def learned_groupings(connection: Connection) -> tuple[LearnedGrouping, ...]:
    """Every pair that people merged, the newest first."""
    query = select(merge_lessons).order_by(merge_lessons.c.at.desc(), merge_lessons.c.pair).limit(MOST_LESSONS)
    by_pair: dict[Pair, list[Lesson]] = {}
    for row in connection.execute(query):
        one = Trouble(service=row.service, what=row.what)
        other = Trouble(service=row.other_service, what=row.other_what)
        lesson = Lesson(
            incident_id=row.incident_id,
            into=row.into_id,
            at=from_micros(row.at),
            actor=row.actor,
            forgotten_at=from_micros(row.forgotten_at) if row.forgotten_at is not None else None,
            forgotten_by=row.forgotten_by,
        )
        by_pair.setdefault(Pair(one=one, other=other), []).append(lesson)
    return tuple(
        LearnedGrouping(
            pair=pair,
            lessons=tuple(one for one in lessons if one.forgotten_at is None),
            forgotten=tuple(one for one in lessons if one.forgotten_at is not None),
        )
        for pair, lessons in by_pair.items()
    )


def taught(connection: Connection) -> Taught:
    """What each trouble is grouped with without a human."""
    known: dict[Trouble, dict[Trouble, LearnedGrouping]] = {}
    for grouping in learned_groupings(connection):
        if grouping.groups:
            one, other = grouping.pair.one, grouping.pair.other
            known.setdefault(one, {})[other] = grouping
            known.setdefault(other, {})[one] = grouping
    return known


def similar_incident(finding: Finding, recent: Recent, known: Taught) -> Similar | None:
    """The open incident that people would merge a new one of this finding with; None where they would not.

    `recent` does not have the new one yet.
    """
    partners = known.get(_trouble(finding), {})
    for incident in recent.with_services({trouble.service for trouble in partners}):
        if not incident.is_open or not is_close(finding, incident):
            continue
        for trouble in _troubles(incident.findings):
            if grouping := partners.get(trouble):
                return Similar(incident_id=incident.id, reason=grouping.reason)
    return None


def _forget(connection: Connection, actor: Actor, at: datetime, *unwanted: ColumnElement[bool]) -> None:
    statement = update(merge_lessons).where(*unwanted, merge_lessons.c.forgotten_at.is_(None))
    connection.execute(statement.values(forgotten_at=to_micros(at), forgotten_by=one_line(actor.name, 100)))


def _pairs(findings: Iterable[Finding], others: Iterable[Finding]) -> list[Pair]:
    """The pairs of two incidents' troubles; what both have is no pair."""
    pairs = (sorted(pair) for pair in product(_troubles(findings), _troubles(others)))
    return list(dict.fromkeys(Pair(one=one, other=other) for one, other in pairs if one != other))


def _troubles(findings: Iterable[Finding]) -> list[Trouble]:
    """An incident's first troubles, those that page before the others; details are none."""
    counted = [finding for finding in findings if finding.severity != "detail"]
    counted.sort(key=lambda finding: (finding.severity != "page", finding.onset, finding.key))
    return list(dict.fromkeys(_trouble(finding) for finding in counted))[:MOST_TROUBLES]


def _trouble(finding: Finding) -> Trouble:
    what = f"alert {finding.alert.name}" if finding.alert else finding.kind
    return Trouble(service=finding.service, what=what)
