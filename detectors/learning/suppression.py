"""Findings that a model suppresses: never silently, and never again once a human reopened one.

A suppressed finding becomes a ticket that carries its reason. Whoever disagrees reopens it; from then on no model
version may suppress that detector on that service, and if it still fires, the next tick pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from detectors.learning.model import Decision
from watchkeeper.errors import NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import findings, suppressions
from watchkeeper.state.schema import reopenings as events
from watchkeeper.state.suppressions import end_suppressions
from watchkeeper.vocabulary import Actor, Finding, Suppression

Group = tuple[str, str]  # detector and service


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedFinding:
    """A finding that did not page: why, which version decided so, until when, and whether somebody has reopened it.

    `until` is None while the suppression lasts.
    """

    finding: Finding
    reason: str
    version: str
    began: datetime
    until: datetime | None
    incident_id: str | None
    cleared_at: datetime | None
    reopened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """A human decided that a finding should have paged: `key` of `detector` on `service`."""

    at: datetime
    actor: Actor
    detector: str
    service: str
    key: str
    note: str

    @property
    def group(self) -> Group:
        """What no version may suppress from then on."""
        return self.detector, self.service


def suppress(finding: Finding, decision: Decision, version: str) -> Finding:
    """The finding as a ticket with its reason."""
    return replace(finding, severity="ticket", suppression=Suppression(reason=decision.why, model_version=version))


def reopen(db: Database, key: str, actor: Actor, now: datetime, note: str = "") -> tuple[bool, str]:
    """Decide that a finding should have paged: its detector on its service is never suppressed again.

    `key` is the finding's. Doing so twice changes nothing. Returns whether it changed something, and a sentence.

    Raises:
        NotFound: no finding of that key was suppressed.
    """
    suppressed = find(db, key)
    if suppressed is None:
        raise NotFound(f"no finding {key!r} was suppressed; `watchkeeper model suppressed` lists those that were")
    finding = suppressed.finding
    row = {
        "detector": finding.detector,
        "service": finding.service,
        "at": to_micros(now),
        "actor": actor.name,
        "via": actor.via,
        "key": key,
        "note": note,
    }
    with db.write() as connection:
        is_first = insert_new(connection, events, row)
        if is_first:
            end_suppressions(connection, [key], now)
            subject = f"{finding.detector}|{finding.service}"
            record_audit(connection, now, actor, "finding.reopened", subject, note or finding.summary)
    if not is_first:
        first = next(one for one in reopenings(db) if one.group == (finding.detector, finding.service))
        return False, f"already reopened by {first.actor.name} at {first.at:%Y-%m-%d %H:%M} UTC"
    return True, f"{finding.detector} on {finding.service} is not suppressed again; if it still fires, it pages"


def barred(db: Database) -> frozenset[Group]:
    """The detectors on services that no model may suppress."""
    return frozenset(reopening.group for reopening in reopenings(db))


def reopenings(db: Database) -> tuple[Reopening, ...]:
    """Every reopening, oldest first: each is a page that was missed."""
    query = select(events).order_by(events.c.at, events.c.detector, events.c.service)
    with db.read() as connection:
        return tuple(
            Reopening(
                at=from_micros(row.at),
                actor=Actor(name=row.actor, via=row.via),
                detector=row.detector,
                service=row.service,
                key=row.key,
                note=row.note,
            )
            for row in connection.execute(query)
        )


def suppressed_findings(db: Database, limit: int = 50) -> tuple[SuppressedFinding, ...]:
    """Suppressed findings, newest first."""
    return _read(db, None, limit)


def find(db: Database, key: str) -> SuppressedFinding | None:
    """The newest finding of a key that was suppressed."""
    return next(iter(_read(db, suppressions.c.key == key, 1)), None)


def _read(db: Database, which: ColumnElement[bool] | None, limit: int) -> tuple[SuppressedFinding, ...]:
    same = and_(findings.c.key == suppressions.c.key, findings.c.onset == suppressions.c.onset)
    columns: list[Any] = [suppressions, findings.c.body, findings.c.incident_id, findings.c.cleared_at]
    query = select(*columns).join(findings, same).where(findings.c.severity == "ticket")  # not one that paged after all
    query = query.order_by(findings.c.seen_at.desc(), findings.c.key).limit(limit)
    groups = barred(db)
    with db.read() as connection:
        return tuple(
            SuppressedFinding(
                finding=parse(Finding, row.body),
                reason=row.reason,
                version=row.model_version,
                began=from_micros(row.began),
                until=from_micros(row.until) if row.until is not None else None,
                incident_id=row.incident_id,
                cleared_at=from_micros(row.cleared_at) if row.cleared_at is not None else None,
                reopened=(row.detector, row.service) in groups,
            )
            for row in connection.execute(query if which is None else query.where(which))
        )
