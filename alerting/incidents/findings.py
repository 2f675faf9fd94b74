"""Findings as they were judged: what fires, and what fired when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from alerting.incidents import journal
from watchkeeper.state.chunks import chunks
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert_many
from watchkeeper.state.schema import findings
from watchkeeper.state.suppressions import end_suppressions, store_suppressions
from watchkeeper.vocabulary import Finding

NONE: Final[Mapping[str, Finding]] = MappingProxyType({})


def store_findings(connection: Connection, found: Sequence[tuple[Finding, str | None]]) -> None:
    """Keep findings with the incident that each belongs to (None for those that belong to none)."""
    if not found:
        return
    columns = (findings.c.key, findings.c.onset, findings.c.incident_id, findings.c.seen_at, findings.c.severity)
    # A detector refines its estimate of the onset while a finding fires; that is still one row.
    firing = {
        row.key: row
        for keys in chunks(list({finding.key for finding, _ in found}))
        for row in connection.execute(select(*columns).where(findings.c.cleared_at.is_(None), findings.c.key.in_(keys)))
    }
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    stored: list[tuple[int, Finding]] = []
    for finding, incident_id in found:
        known, seen_at = firing.get(finding.key), to_micros(finding.seen_at)
        if known and (known.incident_id, known.seen_at, known.severity) == (incident_id, seen_at, finding.severity):
            continue  # nothing was judged anew: an alert from outside is one judgement for as long as it fires
        onset = known.onset if known else to_micros(finding.onset)
        stored.append((onset, finding))
        rows[finding.key, onset] = {
            "key": finding.key,
            "onset": onset,
            "service": finding.service,
            "severity": finding.severity,
            "incident_id": incident_id,
            "seen_at": seen_at,
            "cleared_at": None,
            "body": dump(finding),
        }
    upsert_many(connection, findings, list(rows.values()))
    store_suppressions(connection, stored)


def record_findings(db: Database, found: Sequence[Finding]) -> None:
    """Keep findings that belong to no incident."""
    if found:
        with db.write() as connection:
            store_findings(connection, [(finding, None) for finding in found])


def clear_findings(
    connection: Connection,
    firing: Iterable[str],
    now: datetime,
    judged: Callable[[Finding], bool] = lambda _: True,
    known: Mapping[str, Finding] = NONE,
) -> None:
    """Mark as cleared every finding that fires no longer, of those that were judged; one row by one, however many.

    `known` are findings by key: of theirs, no row is read.
    """
    keys = set(firing)
    fires = findings.c.cleared_at.is_(None)
    # Bodies are long, and most of what fired fires still, or is not what this round judges.
    missing = [key for key in connection.scalars(select(findings.c.key).where(fires)) if key not in keys]
    gone: list[dict[str, str]] = []
    unread: list[str] = []
    for key in missing:
        finding = known.get(key)
        if finding is None:
            unread.append(key)
        elif judged(finding):
            gone.append({"gone": key})
    for part in chunks(unread):
        rows = connection.execute(select(findings.c.key, findings.c.body).where(fires, findings.c.key.in_(part)))
        gone += [{"gone": row.key} for row in rows if _is_judged(row.body, judged)]
    if gone:
        statement = update(findings).where(findings.c.cleared_at.is_(None), findings.c.key == bindparam("gone"))
        connection.execute(statement.values(cleared_at=to_micros(now)), gone)
        end_suppressions(connection, [row["gone"] for row in gone], now)


def _is_judged(body: str, judged: Callable[[Finding], bool]) -> bool:
    try:
        return judged(parse(Finding, body))
    except ValueError:  # written by another version: it must not fire for ever
        return True


def move_findings(connection: Connection, of: str, to: str, keys: Sequence[str] | None = None) -> None:
    """Count the findings of one incident, or those of some keys, to another."""
    counted = update(findings).where(findings.c.incident_id == of)
    for part in chunks(keys) if keys is not None else [None]:
        those = counted if part is None else counted.where(findings.c.key.in_(part))
        connection.execute(those.values(incident_id=to))


def ticket_resolved_by_hand(connection: Connection, key: str) -> str | None:
    """The ticket that somebody resolved while a finding fired, for as long as it goes on: they know of it."""
    kept = (findings.c.key == key) & findings.c.cleared_at.is_(None) & findings.c.incident_id.is_not(None)
    incident_id = connection.scalar(select(findings.c.incident_id).where(kept).limit(1))
    if incident_id is None:
        return None
    incident = journal.load(connection, incident_id)
    by_hand = incident.resolved_by is not None and incident.resolved_by.via != "system"
    return incident.id if incident.severity == "ticket" and by_hand else None


def keys_of_incident(connection: Connection, incident_id: str) -> set[str]:
    """The findings that fire and belong to an incident, or are counted to it."""
    query = select(findings.c.key).where(findings.c.incident_id == incident_id, findings.c.cleared_at.is_(None))
    return set(connection.scalars(query))
