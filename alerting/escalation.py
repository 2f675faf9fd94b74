"""Who is paged next when nobody acknowledges, on durable timers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from alerting.machine import Command, Event, Incident
from alerting.schedule import Override, person, stored_overrides, who_is_on_call
from alerting.timers import Effect, Timer, cancel_timers, set_timer
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

if TYPE_CHECKING:
    from alerting.incidents import Incidents

MACHINE = Actor(name="Watchkeeper", via="system")
# After the last step, this long for an answer before the incident counts as expired.
LAST_WAIT = timedelta(minutes=15)


def person_at(oncall: OnCallConfig, step: int, at: datetime, overrides: tuple[Override, ...]) -> PersonConfig | None:
    """Whom a step of the escalation pages: never nowhere while anybody is configured."""
    notify = oncall.escalation[min(step, len(oncall.escalation) - 1)].notify
    if any(schedule.id == notify for schedule in oncall.schedules):
        found = who_is_on_call(oncall, notify, at, overrides)
        if found:
            return found
        return oncall.people[0] if oncall.people else None
    return person(oncall, notify)


def schedule_next(connection: Connection, oncall: OnCallConfig, incident: Incident, event: Event) -> None:
    """After a page: wait for the next step, or for the end."""
    following = event.step + 1
    started = incident.paged_at or event.at
    if event.type == "ack_timed_out":
        started = event.at
    if following < len(oncall.escalation):
        due = max(started + timedelta(seconds=oncall.escalation[following].after_s), event.at)
        set_timer(connection, incident.id, "escalate", incident.version * 1000 + following, due)
    else:
        set_timer(connection, incident.id, "expire", incident.version, event.at + LAST_WAIT)


def effects(incidents: Incidents, oncall: OnCallConfig, db: Database) -> Mapping[str, Effect]:
    """What each kind of timer does, inside the timer's own transaction."""
    overrides = stored_overrides(db)

    def escalate(connection: Connection, timer: Timer, now: datetime) -> None:
        step = timer.step % 1000
        who = person_at(oncall, step, now, overrides)
        command = Command(
            type="escalated", at=now, actor=MACHINE, key=timer.id, person=who.id if who else "nobody", step=step
        )
        incidents.apply(connection, timer.incident_id, command)

    def ack_timeout(connection: Connection, timer: Timer, now: datetime) -> None:
        who = person_at(oncall, 0, now, overrides)
        command = Command(type="ack_timed_out", at=now, actor=MACHINE, key=timer.id, person=who.id if who else "nobody")
        incidents.apply(connection, timer.incident_id, command)

    def expire(connection: Connection, timer: Timer, now: datetime) -> None:
        command = Command(type="expired", at=now, actor=MACHINE, key=timer.id)
        incidents.apply(connection, timer.incident_id, command)

    return {"escalate": escalate, "ack_timeout": ack_timeout, "expire": expire}


def cancel(connection: Connection, incident_id: str, now: datetime) -> None:
    """An answer: nobody else is paged."""
    cancel_timers(connection, incident_id, now)
