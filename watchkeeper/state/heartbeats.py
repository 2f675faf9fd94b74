"""Heartbeats of other systems: when each was heard last, and which are missed.

A missed one is a finding like an alert from outside: it pages, and clears when the next heartbeat is heard. A name that
is no longer in the configuration is expected no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from watchkeeper.config_sections import HeartbeatConfig
from watchkeeper.durations import duration
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new, upsert
from watchkeeper.state.schema import heartbeats
from watchkeeper.vocabulary import Finding, content_key

DETECTOR: Final = "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A heartbeat that is expected: since when, when it was heard last (None: never), and when it counts as missed."""

    name: str
    since: datetime
    heard_at: datetime | None
    missed_at: datetime


def record_heartbeat(db: Database, name: str, now: datetime) -> None:
    """Something is alive."""
    with db.write() as connection:
        upsert(connection, heartbeats, {"name": name, "since": to_micros(now), "heard_at": to_micros(now)})


def expect_heartbeats(db: Database, expected: Sequence[HeartbeatConfig], now: datetime) -> None:
    """Expect those of the configuration from now on, and no others; what is known of them stays."""
    with db.write() as connection:
        connection.execute(delete(heartbeats).where(heartbeats.c.name.not_in([each.name for each in expected])))
        for each in expected:
            insert_new(connection, heartbeats, {"name": each.name, "since": to_micros(now), "heard_at": None})


def read_heartbeats(
    db: Database, expected: Sequence[HeartbeatConfig], now: datetime, running_since: datetime | None = None
) -> tuple[Heartbeat, ...]:
    """The heartbeats of the configuration, in its order.

    `running_since` is when this process began: what could not be heard before it is not missed.
    """
    with db.read() as connection:
        rows = _rows(connection)
    known = []
    for each in expected:
        since, heard_at = rows.get(each.name, (now, None))
        last = max(filter(None, (since, heard_at, running_since)))
        missed_at = last + timedelta(seconds=each.every_s + each.grace_s)
        known.append(Heartbeat(name=each.name, since=since, heard_at=heard_at, missed_at=missed_at))
    return tuple(known)


def missed_heartbeats(
    db: Database, expected: Sequence[HeartbeatConfig], now: datetime, running_since: datetime
) -> tuple[Finding, ...]:
    """A finding that pages for each heartbeat that is missed; the same one for as long as it is."""
    if not expected:
        return ()
    configured = {each.name: each for each in expected}
    return tuple(
        _finding(configured[one.name], one)
        for one in read_heartbeats(db, expected, now, running_since)
        if now >= one.missed_at
    )


def _finding(expected: HeartbeatConfig, missed: Heartbeat) -> Finding:
    heard = f"the last came at {missed.heard_at:%Y-%m-%d %H:%M:%S} UTC" if missed.heard_at else "none ever came"
    return Finding(
        detector=DETECTOR,
        detector_version="1",
        kind="alert",
        service=expected.service or expected.name,
        summary=f"no heartbeat of {expected.name}: {heard}; one is expected every {duration(expected.every_s)}",
        onset=missed.missed_at - timedelta(seconds=expected.grace_s),
        seen_at=missed.missed_at,
        score=1.0,
        signal=expected.name,
        key=content_key(DETECTOR, expected.name),
    )


def _rows(connection: Connection) -> dict[str, tuple[datetime, datetime | None]]:
    return {
        row.name: (from_micros(row.since), from_micros(row.heard_at) if row.heard_at is not None else None)
        for row in connection.execute(select(heartbeats))
    }
