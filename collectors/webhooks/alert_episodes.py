"""What the notices of another system make of its alerts: an episode begins, goes on, ends, or a notice is too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, or_, select

from watchkeeper.state.alerts import CHUNK, is_readable
from watchkeeper.state.codec import dump
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert_many
from watchkeeper.state.schema import alerts
from watchkeeper.vocabulary import AlertNotice

SENDER: Final = "its sender"
# A firing notification of an episode that its sender resolved this lately was sent before the resolve and came after.
LATE: Final = timedelta(hours=1)
# A sender's clock and ours differ, and a tick must have seen the alert.
END_GRACE: Final = timedelta(minutes=1)
REMEMBERED: Final = timedelta(days=7)
# Two writers must not decide about one alert at once (PostgreSQL; any number that is ours).
RECORDING: Final = 8_274_003


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of the notices of one request: how many fire, were resolved, or came too late to count."""

    firing: int
    resolved: int
    late: int


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
    kept = row if row and row["ended_at"] is None and is_readable(row["body"]) else None
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
