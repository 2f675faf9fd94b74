"""Reminders of action items: on the due date at nine where the owner is, and once a week while it is overdue.

A durable timer puts one message into the outbox and sets the next timer, in one transaction: a kill neither loses nor
doubles a reminder. After an outage one reminder is sent, and not one for each week that was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from alerting.channels import outbox
from alerting.oncall.timers import Effect, Timer, cancel_timers, set_timers, timer_row
from alerting.oncall.turns import instant
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.state.schema import action_items as table

KIND: Final = "reminder"
HOUR: Final = 9
EVERY: Final = timedelta(days=7)


def zone_of(oncall: OnCallConfig, owner: str) -> str:
    """The owner's time zone; UTC for a name that is nobody's."""
    person = oncall.named(owner)
    return person.timezone if person else "UTC"


def next_reminder(due: date, now: datetime, zone: str) -> datetime:
    """When the next reminder of an item is sent: on its day, or a number of weeks after it.

    >>> from datetime import UTC
    >>> next_reminder(date(2026, 3, 2), datetime(2026, 3, 20, 12, tzinfo=UTC), "Europe/Berlin").isoformat()
    '2026-03-23T08:00:00+00:00'
    """
    place = ZoneInfo(zone)
    behind = max(0, (now.astimezone(place).date() - due).days)
    day = due + EVERY * (behind // EVERY.days)
    while (at := _nine(day, place)) <= now:
        day += EVERY
    return at


def _nine(day: date, place: ZoneInfo) -> datetime:
    return instant(datetime(day.year, day.month, day.day, HOUR), place)  # noqa: DTZ001 - a local time


def set_reminder(
    connection: Connection,
    oncall: OnCallConfig,
    action_id: str,
    owner: str,
    due: date | None,
    version: int,
    now: datetime,
) -> None:
    """Wait for an item's next reminder; nothing for one without a date."""
    if due is None:
        return
    at = next_reminder(due, now, zone_of(oncall, owner))
    # A week has one reminder of one version of an item: setting it again sets nothing.
    row = timer_row(action_id, f"{KIND}:{version}", at, version=int(at.timestamp()) // 3600, at=now)
    set_timers(connection, [{**row, "kind": KIND}])


def cancel(connection: Connection, action_id: str, now: datetime) -> None:
    """No reminder of an item any more, and none that waits to be sent."""
    cancel_timers(connection, action_id, now, KIND)
    outbox.withdraw(connection, action_id, now, "the action item has changed")


def effect(oncall: OnCallConfig, channels: Sequence[str], web_url: str) -> Effect:
    """What the timer does. `channels` are those that can show a notice."""

    def remind(connection: Connection, timer: Timer, now: datetime) -> None:
        row = connection.execute(select(table).where(table.c.id == timer.incident_id)).first()
        if row is None or row.done_at is not None or not row.due:
            return
        due = date.fromisoformat(row.due)
        late = (now.astimezone(ZoneInfo(zone_of(oncall, row.owner))).date() - due).days
        person = oncall.named(row.owner)
        owner = person.name if person else row.owner or "nobody"
        when = "today" if late <= 0 else f"{late} day{'s'[: late != 1]} ago"
        reminder = outbox.Draft(
            kind="reminder",
            person=person.id if person else "",
            title="An action item is due" if late <= 0 else "An action item is overdue",
            text=f"{row.text}\nOwner: {owner}. Due: {due}, {when}. Postmortem of {row.incident_id}: "
            f"{web_url}/incidents/{row.incident_id}\nWhen it is done: watchkeeper postmortem done {row.id}",
        )
        _put(connection, timer, reminder, person, channels, now)
        set_reminder(connection, oncall, row.id, row.owner, due, row.version, now)

    return remind


def _put(
    connection: Connection,
    timer: Timer,
    reminder: outbox.Draft,
    person: PersonConfig | None,
    channels: Sequence[str],
    now: datetime,
) -> None:
    """One message: in the owner's first channel, or else where everybody reads it."""
    reached = [(name, person.address(name)) for name in channels if person and person.address(name)]
    for channel, address in reached[:1] or [(name, "") for name in channels[:1]]:
        outbox.put_reminder(connection, f"{timer.id}:{channel}", timer.incident_id, channel, address, reminder, now)
