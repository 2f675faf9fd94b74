"""Alerts that somebody else's rules raised: which fire now, and what ended those that don't.

A row is one alert, by its key; `started` is the episode. An alert ends when its sender resolves it, when a human
resolves its incident or ends it by name, or when it was not repeated until `until`. An ended row is kept for a while,
so that a notification that comes late cannot raise again what is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, or_, select, update

from watchkeeper.errors import NotFound
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import upsert_many
from watchkeeper.state.schema import alerts
from watchkeeper.text import one_line
from watchkeeper.vocabulary import AlertNotice, Finding

SENDER: Final = "its sender"
# A firing notification of an episode that its sender resolved this lately was sent before the resolve and came after.
LATE: Final = timedelta(hours=1)
# No telemetry is as old: what began earlier is taken as this long ago.
OLDEST_ONSET: Final = timedelta(days=7)
# A sender's clock and ours differ, and a tick must have seen the alert.
END_GRACE: Final = timedelta(minutes=1)
REMEMBERED: Final = timedelta(days=7)
# Two writers must not decide about one alert at once (PostgreSQL; any number that is ours).
RECORDING: Final = 8_274_003
# Rows in one transaction: a large body leaves room for others between its transactions.
CHUNK: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of the notices of one request: how many fire, were resolved, or came too late to count."""

    firing: int
    resolved: int
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """One alert as it is kept. `finding` is None where the row cannot be read."""

    key: str
    finding: Finding | None
    first_at: datetime
    heard_at: datetime
    until: datetime
    ended_at: datetime | None
    ended_by: str


def record_alerts(db: Database, notices: Sequence[AlertNotice], now: datetime, expire_after: timedelta) -> Recorded:
    """Keep what a sender says, in its order; a repeat keeps the first onset.

    One transaction for every few hundred alerts. The same notices again change nothing, so a sender may retry.

    Raises:
        DatabaseError: the database failed; what was kept before stays.
    """
    counts = {"firing": 0, "resolved": 0, "late": 0}
    for first in range(0, len(notices), CHUNK):
        chunk = notices[first : first + CHUNK]
        with db.write() as connection:
            db.one_at_a_time(connection, RECORDING)
            _record(connection, chunk, now, expire_after, counts)
            if first == 0:
                _forget(connection, now)
    return Recorded(**counts)


def _record(
    connection: Connection,
    notices: Sequence[AlertNotice],
    now: datetime,
    expire_after: timedelta,
    counts: dict[str, int],
) -> None:
    keys = {notice.finding.key for notice in notices}
    query = select(alerts).where(alerts.c.key.in_(keys)).with_for_update()
    rows = {row["key"]: dict(row) for row in connection.execute(query).mappings()}
    changed: dict[str, dict[str, Any]] = {}
    for notice in notices:
        key = notice.finding.key
        row = _after(rows.get(key), notice, now, expire_after)
        if row is None:
            counts["late"] += 1
            continue
        rows[key] = changed[key] = row
        counts["resolved" if notice.resolved else "firing"] += 1
    upsert_many(connection, alerts, [changed[key] for key in sorted(changed)])


def _after(
    row: dict[str, Any] | None, notice: AlertNotice, now: datetime, expire_after: timedelta
) -> dict[str, Any] | None:
    """The row after a notice; None where the notice came too late to count."""
    started = to_micros(notice.started) if notice.started else 0
    known = row["started"] if row else 0
    if started and started < known:
        return None  # of an earlier episode
    if started and known and started > known:
        row = None  # a new episode
    after = {"key": notice.finding.key, "started": started or known, "heard_at": to_micros(now)}
    if notice.resolved:
        return after | _resolved(row, notice, now)
    if started and started == known and row and _was_resolved_lately(row, now):
        return None
    return after | _firing(row, notice, now, expire_after)


def _was_resolved_lately(row: dict[str, Any], now: datetime) -> bool:
    if row["ended_at"] is None or row["ended_by"] != SENDER:
        return False
    return to_micros(now) - int(row["ended_at"]) < LATE // timedelta(microseconds=1)


def _resolved(row: dict[str, Any] | None, notice: AlertNotice, now: datetime) -> dict[str, Any]:
    at = to_micros(now)
    return {
        "at": row["at"] if row else at,
        "until": at,
        "ended_at": row["ended_at"] if row and row["ended_at"] else at,
        "ended_by": SENDER,
        "body": row["body"] if row else dump(notice.finding),
    }


def _firing(row: dict[str, Any] | None, notice: AlertNotice, now: datetime, expire_after: timedelta) -> dict[str, Any]:
    # A repeat keeps what was said first, unless that cannot be read; what is back after an end begins anew.
    kept = row if row and row["ended_at"] is None and _readable(row["body"]) else None
    until = now + expire_after
    if notice.ends_at and notice.ends_at > now:
        until = min(until, notice.ends_at)
    return {
        "at": kept["at"] if kept else to_micros(now),
        "until": to_micros(until + END_GRACE),
        "ended_at": None,
        "ended_by": None,
        "body": kept["body"] if kept else dump(notice.finding),
    }


def _forget(connection: Connection, now: datetime) -> None:
    """Drop what ended, or fell silent, long ago."""
    before = to_micros(now - REMEMBERED)
    old = or_(alerts.c.ended_at < before, and_(alerts.c.ended_at.is_(None), alerts.c.until < before))
    connection.execute(delete(alerts).where(old))


def end_alerts(connection: Connection, keys: Iterable[str], at: datetime, by: str) -> int:
    """End alerts because a human said so; how many fired. A later notification that one fires raises it again."""
    ended = 0
    wanted = sorted(set(keys))
    for first in range(0, len(wanted), CHUNK):
        rows = alerts.c.key.in_(wanted[first : first + CHUNK]) & alerts.c.ended_at.is_(None)
        ended += connection.execute(update(alerts).where(rows).values(ended_at=to_micros(at), ended_by=by)).rowcount
    return ended


def end_alert(db: Database, key: str, at: datetime, by: str) -> bool:
    """End one alert by its key; False when it had ended before.

    Raises:
        NotFound: no alert has this key.
    """
    with db.write() as connection:
        if connection.execute(select(alerts.c.key).where(alerts.c.key == key)).first() is None:
            raise NotFound(f"no alert {one_line(key)}; see `watchkeeper alerts list`")
        return end_alerts(connection, [key], at, by) > 0


def read_alerts(db: Database, now: datetime) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """The alerts from outside that fire now, oldest first; and by key why each of the others cannot be read."""
    fires = alerts.c.ended_at.is_(None) & (alerts.c.until > to_micros(now))
    query = select(alerts.c.key, alerts.c.at, alerts.c.body).where(fires).order_by(alerts.c.at, alerts.c.key)
    firing: list[Finding] = []
    unreadable: dict[str, str] = {}
    with db.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        try:
            firing.append(_finding(row.body, row.at))
        except (ValueError, OverflowError) as error:
            unreadable[row.key] = f"its row cannot be read, so it pages nobody: {error}"
    return tuple(firing), unreadable


def all_alerts(db: Database, limit: int, firing_at: datetime | None = None) -> tuple[AlertState, ...]:
    """The alerts that are kept (only those that fire at a time, if one is given), those heard of last first."""
    query = select(alerts).order_by(alerts.c.heard_at.desc(), alerts.c.key).limit(limit)
    if firing_at:
        query = query.where(alerts.c.ended_at.is_(None), alerts.c.until > to_micros(firing_at))
    with db.read() as connection:
        rows = connection.execute(query).all()
    return tuple(
        AlertState(
            key=row.key,
            finding=_finding(row.body, row.at) if _readable(row.body) else None,
            first_at=from_micros(row.at),
            heard_at=from_micros(row.heard_at),
            until=from_micros(row.until),
            ended_at=from_micros(row.ended_at) if row.ended_at is not None else None,
            ended_by=row.ended_by or "",
        )
        for row in rows
    )


def _readable(body: str) -> bool:
    try:
        _finding(body, 0)
    except (ValueError, OverflowError):
        return False
    return True


def _finding(body: str, at: int) -> Finding:
    """A stored finding with an onset that a diagnosis can look back to."""
    finding = _parse(body)
    first = from_micros(at)
    onset = max(min(finding.onset, first), first - OLDEST_ONSET)
    return finding if onset == finding.onset else replace(finding, onset=onset)


@lru_cache(maxsize=50_000)
def _parse(body: str) -> Finding:
    """Read once, as every tick asks for every alert that fires."""
    return parse(Finding, body)
