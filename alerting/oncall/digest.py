"""The daily digest of open tickets: a durable timer, and one message for each channel, which pages nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, update

from alerting.channels import outbox
from alerting.incidents import journal
from alerting.oncall.timers import Effect, Timer, set_timers, timer_row
from alerting.oncall.turns import instant
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import timers

KIND: Final = "digest"


def next_digest(oncall: OnCallConfig, now: datetime) -> datetime:
    """When the next digest is due: at the configured hour, in its zone or the first schedule's.

    >>> from datetime import UTC
    >>> next_digest(OnCallConfig(), datetime(2026, 3, 1, 9, 0, tzinfo=UTC))
    datetime.datetime(2026, 3, 2, 9, 0, tzinfo=datetime.timezone.utc)
    """
    zone = ZoneInfo(oncall.digest.timezone or (oncall.schedules[0].timezone if oncall.schedules else "UTC"))
    today = now.astimezone(zone).date()
    due = [
        instant(datetime(day.year, day.month, day.day, oncall.digest.hour), zone)  # noqa: DTZ001 - a local time
        for day in (today, today + timedelta(days=1), today + timedelta(days=2))
    ]
    return next(at for at in due if at > now)


def schedule(db: Database, oncall: OnCallConfig, now: datetime) -> None:
    """Wait for the next digest as the configuration has it; one that came due while nobody ran is still sent."""
    wanted = next_digest(oncall, now) if oncall.digest.enabled else None
    with db.write() as connection:
        waiting = (timers.c.incident_id == outbox.TICKETS) & (timers.c.kind == KIND) & timers.c.done_at.is_(None)
        unwanted = update(timers).where(waiting)
        if wanted is not None:
            unwanted = unwanted.where(timers.c.due_at > to_micros(now), timers.c.due_at != to_micros(wanted))
        connection.execute(unwanted.values(done_at=to_micros(now)))
        missed = connection.execute(select(timers.c.id).where(waiting)).first()
        if wanted is not None and missed is None:
            _set(connection, wanted, now)


def effect(channels: Sequence[str], oncall: OnCallConfig) -> Effect:
    """What the timer does: a message for each channel if a ticket is open, and the next timer."""

    def put(connection: Connection, timer: Timer, now: datetime) -> None:
        if oncall.digest.enabled:
            if journal.newest(connection, "open", 1, severity="ticket"):
                outbox.put_digest(connection, timer.id, channels, now)
            _set(connection, next_digest(oncall, now), now)

    return put


def _set(connection: Connection, due: datetime, now: datetime) -> None:
    """One timer an hour at most, whatever is configured meanwhile: its name is the hour."""
    row = timer_row(outbox.TICKETS, KIND, due, version=int(due.timestamp()) // 3600, at=now)
    set_timers(connection, [row])
