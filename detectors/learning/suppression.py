"""Findings that a model suppresses: never silently, and never again once a human reopened one.

A finding that is suppressed becomes a ticket that carries its reason. Whoever disagrees reopens it; from then on no
model version may suppress that detector on that service, and if it still fires, the next tick pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, select

from detectors.learning.model import Decision
from watchkeeper.errors import NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.schema import audit, findings
from watchkeeper.vocabulary import Actor, Finding

REOPENED: Final = "finding.reopened"
REASON: Final = "held back"  # the attribute that keeps the reason
BY: Final = "held back by"
_MARK: Final = f'"{REASON}":'  # as it stands in a stored finding


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedFinding:
    """A finding that woke nobody: why, which version said so, and whether somebody has reopened it since."""

    finding: Finding
    reason: str
    version: str
    incident_id: str | None
    cleared_at: datetime | None
    reopened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """Somebody said that a finding should not have been suppressed. `group` is `detector|service`."""

    at: datetime
    actor: Actor
    group: str
    note: str


def suppress(finding: Finding, decision: Decision, version: str) -> Finding:
    """The finding as a ticket with its reason."""
    attributes = {**finding.attributes, REASON: decision.why, BY: version}
    return replace(finding, severity="ticket", attributes=attributes)


def reopen(db: Database, key: str, actor: Actor, now: datetime, note: str = "") -> tuple[bool, str]:
    """A human says that this should not have been suppressed: its detector on its service never is again.

    `key` is the finding's. Doing so twice changes nothing. Returns whether it changed something, and words for who did.

    Raises:
        NotFound: no finding of that key was suppressed.
    """
    held = find(db, key)
    if held is None:
        raise NotFound(f"no finding {key!r} was suppressed; `watchkeeper model suppressed` lists those that were")
    finding = held.finding
    with db.write() as connection:
        subject = f"{finding.detector}|{finding.service}"
        before = connection.execute(
            select(audit.c.actor, audit.c.at).where(audit.c.action == REOPENED, audit.c.subject == subject).limit(1)
        ).first()
        if before:
            return False, f"already reopened by {before.actor} at {from_micros(before.at):%Y-%m-%d %H:%M} UTC"
        record_audit(connection, now, actor, REOPENED, subject, note or finding.summary)
    return True, f"{finding.detector} on {finding.service} is not suppressed again; if it still fires, it pages"


def barred(db: Database) -> frozenset[str]:
    """The groups (`detector|service`) that no model may suppress."""
    return frozenset(one.group for one in reopenings(db))


def reopenings(db: Database) -> tuple[Reopening, ...]:
    """Every reopening, oldest first: each is a page that was missed."""
    query = select(audit).where(audit.c.action == REOPENED).order_by(audit.c.id)
    with db.read() as connection:
        return tuple(
            Reopening(
                at=from_micros(row.at),
                actor=Actor(name=row.actor, via=row.via),
                group=row.subject,
                note=row.detail,
            )
            for row in connection.execute(query)
        )


def suppressed_findings(db: Database, limit: int = 50) -> tuple[SuppressedFinding, ...]:
    """What was suppressed, newest first."""
    return _read(db, _held().limit(limit))


def find(db: Database, key: str) -> SuppressedFinding | None:
    """The newest finding of a key that was suppressed."""
    return next(iter(_read(db, _held().where(findings.c.key == key).limit(1))), None)


def _held() -> Select[Any]:
    mine = (findings.c.severity == "ticket") & findings.c.body.contains(_MARK, autoescape=True)
    return select(findings).where(mine).order_by(findings.c.seen_at.desc(), findings.c.key)


def _read(db: Database, query: Select[Any]) -> tuple[SuppressedFinding, ...]:
    reopened = barred(db)
    found = []
    with db.read() as connection:
        for row in connection.execute(query):
            finding = parse(Finding, row.body)
            found.append(
                SuppressedFinding(
                    finding=finding,
                    reason=finding.attributes[REASON],
                    version=finding.attributes.get(BY, "?"),
                    incident_id=row.incident_id,
                    cleared_at=from_micros(row.cleared_at) if row.cleared_at is not None else None,
                    reopened=f"{finding.detector}|{finding.service}" in reopened,
                )
            )
    return tuple(found)
