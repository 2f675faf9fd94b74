"""Findings as the detectors reported them, and alerts that came from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import insert_new, upsert
from watchkeeper.state.schema import alerts, findings
from watchkeeper.vocabulary import Finding, Window


def store_findings(connection: Connection, found: Iterable[tuple[Finding, str | None]]) -> None:
    """Keep findings with the incident that each belongs to (None for those that belong to none)."""
    fires = findings.c.cleared_at.is_(None)
    # A detector refines its estimate of the onset while a finding fires; that is still one row.
    firing = {row.key: row.onset for row in connection.execute(select(findings.c.key, findings.c.onset).where(fires))}
    for finding, incident_id in found:
        row = {
            "key": finding.key,
            "onset": firing.get(finding.key, to_micros(finding.onset)),
            "service": finding.service,
            "severity": finding.severity,
            "incident_id": incident_id,
            "seen_at": to_micros(finding.seen_at),
            "cleared_at": None,
            "body": dump(finding),
        }
        upsert(connection, findings, row)


def record_findings(db: Database, found: Sequence[Finding]) -> None:
    """Keep findings that belong to no incident."""
    if found:
        with db.write() as connection:
            store_findings(connection, [(finding, None) for finding in found])


def clear_findings(
    connection: Connection, firing: Iterable[str], now: datetime, judged: Callable[[Finding], bool] = lambda _: True
) -> None:
    """Mark as cleared every finding that fires no longer, of those that were judged; one row by one, however many."""
    keys = set(firing)
    rows = connection.execute(select(findings.c.key, findings.c.body).where(findings.c.cleared_at.is_(None))).all()
    gone = [{"gone": row.key} for row in rows if row.key not in keys and _is_judged(row.body, judged)]
    if gone:
        statement = update(findings).where(findings.c.cleared_at.is_(None), findings.c.key == bindparam("gone"))
        connection.execute(statement.values(cleared_at=to_micros(now)), gone)


def _is_judged(body: str, judged: Callable[[Finding], bool]) -> bool:
    try:
        return judged(parse(Finding, body))
    except ValueError:  # written by another version: it must not fire for ever
        return True


def findings_between(db: Database, window: Window) -> tuple[Finding, ...]:
    """The findings that were firing at some time of a window, by onset."""
    query = (
        select(findings.c.body)
        .where(findings.c.onset < to_micros(window.end))
        .where(or_(findings.c.cleared_at.is_(None), findings.c.cleared_at >= to_micros(window.start)))
        .where(findings.c.seen_at >= to_micros(window.start))
        .order_by(findings.c.onset, findings.c.key)
    )
    with db.read() as connection:
        return tuple(parse(Finding, body) for body in connection.scalars(query))


def record_alerts(db: Database, firing: Sequence[Finding]) -> None:
    """Keep alerts from outside until they are resolved; a repeat keeps the first onset."""
    with db.write() as connection:
        for alert in firing:
            row = {"key": alert.key, "at": to_micros(alert.seen_at), "body": dump(alert)}
            insert_new(connection, alerts, row)


def clear_alerts(db: Database, keys: Sequence[str]) -> None:
    """Forget alerts that were resolved outside."""
    with db.write() as connection:
        connection.execute(delete(alerts).where(alerts.c.key.in_(list(keys))))


def firing_alerts(db: Database) -> tuple[Finding, ...]:
    """The alerts from outside that fire now and can be read."""
    return read_alerts(db)[0]


def read_alerts(db: Database) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """The alerts from outside that fire now, oldest first; and by key why each of the others cannot be read."""
    fire: list[Finding] = []
    unreadable: dict[str, str] = {}
    with db.read() as connection:
        rows = connection.execute(select(alerts.c.key, alerts.c.body).order_by(alerts.c.at)).all()
    for row in rows:
        try:
            fire.append(parse(Finding, row.body))
        except ValueError as error:
            unreadable[row.key] = str(error)
    return tuple(fire), unreadable
