"""Alerts that somebody else's rules raised: which fire now, and what ended those that don't.

A row is one alert, by its key; `started` is the episode. An alert ends when its sender resolves it, when a human
resolves its incident or ends it by name, or when it was not repeated until `until`. An ended row is kept for a while,
so that a late notification cannot raise again what is over. `collectors.webhooks.alert_episodes` writes the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, select, update

from watchkeeper.errors import NotFound
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import alerts
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Finding

# No telemetry is as old: what began earlier is taken as this long ago.
OLDEST_ONSET: Final = timedelta(days=7)
# Rows in one transaction: a large body leaves room for others between its transactions.
CHUNK: Final = 500


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
            finding=_finding(row.body, row.at) if is_readable(row.body) else None,
            first_at=from_micros(row.at),
            heard_at=from_micros(row.heard_at),
            until=from_micros(row.until),
            ended_at=from_micros(row.ended_at) if row.ended_at is not None else None,
            ended_by=row.ended_by or "",
        )
        for row in rows
    )


def is_readable(body: str) -> bool:
    """Whether an alert's body holds a finding."""
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
