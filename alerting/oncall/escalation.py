"""Who is paged next when nobody acknowledges, on durable timers.

Kinds of timers: `page` (the first page, should whoever opened the incident die before sending it), `escalate` (the
next step), `expire` (nobody is left to ask), `ack_timeout` (somebody took it and was not heard of since), `quiet` (a
ticket that is over, and may come back).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Connection

from alerting.incidents.machine import Command, Event, EventType, Incident
from alerting.oncall.schedule import Override, person, stored_overrides, who_has_it
from alerting.oncall.timers import Effect, Row, Timer, cancel_timers, pending_kinds, set_timers, timer_row
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.durations import duration
from watchkeeper.state.database import Database
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

MACHINE: Final = Actor(name="Watchkeeper", via="system")
# Whoever opens an incident pages as soon as it is diagnosed. Should that fail, this timer pages without it: a diagnosis
# takes seconds, and a page that is a quarter of a minute late is still in time.
PAGE_WITHIN: Final = timedelta(seconds=15)
# After the last step, this long for an answer before the incident counts as expired.
LAST_WAIT: Final = timedelta(minutes=15)
# A ticket is resolved when nothing of it fired for so long.
QUIET: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Whom a step of the escalation pages, and why: a human asks at once why it was them."""

    person: PersonConfig | None
    why: str

    @property
    def id(self) -> str:
        return self.person.id if self.person else "nobody"

    @property
    def name(self) -> str:
        return self.person.name if self.person else "nobody (no person is configured)"


def whom(oncall: OnCallConfig, step: int, at: datetime, overrides: Sequence[Override]) -> Called:
    """Whom a step pages: never nowhere while anybody is configured."""
    if not oncall.escalation:
        return Called(person=oncall.people[0] if oncall.people else None, why="no escalation is configured")
    notify = oncall.escalation[min(step, len(oncall.escalation) - 1)].notify
    where = f"step {step + 1} of {len(oncall.escalation)}"
    if all(schedule.id != notify for schedule in oncall.schedules):
        return Called(person=person(oncall, notify), why=f"named in {where}")
    on_call, source = who_has_it(oncall, notify, at, overrides)
    if on_call and source == "fallback":
        return Called(person=on_call, why=f"nobody is on call in {notify!r}: its fallback; {where}")
    if on_call:
        by = "by an override" if source == "override" else "by rotation"
        return Called(person=on_call, why=f"on call in {notify!r} {by}; {where}")
    last = oncall.people[0] if oncall.people else None
    return Called(person=last, why=f"nobody is on call in {notify!r} and it has no fallback; {where}")


def person_at(oncall: OnCallConfig, step: int, at: datetime, overrides: Sequence[Override] = ()) -> PersonConfig | None:
    """The person whom a step pages at a time; None only where nobody is configured at all."""
    return whom(oncall, step, at, overrides).person


def known_person(oncall: OnCallConfig, actor: Actor | None) -> PersonConfig | None:
    """The configured person behind an actor: a channel knows addresses, a command line names. A token is nobody."""
    if actor is None or actor.via == "api":
        return None
    for known in oncall.people:
        names = (known.id, one_line(known.name, 100), *known.addresses.values())
        if actor.name.casefold() in [name.casefold() for name in names]:
            return known
    return None


def steps_follow(connection: Connection, oncall: OnCallConfig, incidents: Sequence[Incident], at: datetime) -> None:
    """After pages: wait for each one's next step, or for its end."""
    ids = [incident.id for incident in incidents]
    cancel_timers(connection, ids, at, "page", "escalate", "expire", "ack_timeout")
    set_timers(connection, [_next_wait(oncall, incident, at) for incident in incidents])


def _next_wait(oncall: OnCallConfig, incident: Incident, at: datetime) -> Row:
    following = incident.escalation_step + 1
    # What has recovered pages nobody else: its page waits for an answer, or expires.
    if following < len(oncall.escalation) and incident.system_state == "firing":
        # Counted from the page that was really sent: after an outage of ours everybody still gets their time.
        gap = oncall.escalation[following].after_s - oncall.escalation[incident.escalation_step].after_s
        return _wait(incident, "escalate", at, timedelta(seconds=max(gap, 0)), step=following)
    return _wait(incident, "expire", at, LAST_WAIT)


def _wait(incident: Incident, kind: str, at: datetime, how_long: timedelta, step: int = 0) -> Row:
    return timer_row(incident.id, kind, at + how_long, version=incident.version, step=step, at=at)


def await_pages(connection: Connection, incidents: Sequence[Incident], at: datetime) -> None:
    """Wait for the first page of incidents that were opened or raised."""
    set_timers(connection, [_wait(incident, "page", at, PAGE_WITHIN) for incident in incidents])


def consequences(
    connection: Connection, oncall: OnCallConfig, incident: Incident, event: Event, ack_timeout_s: float
) -> None:
    """The waits that an event begins and ends, in the event's own transaction.

    A recovery ends no wait and a refiring begins none anew: what flaps would else never reach the next person. A wait
    that ends while the incident is recovered pages nobody; should it fire again, `overdue` gives what is due at once.
    """
    match event.type:
        case "paged" | "escalated" | "ack_timed_out":
            steps_follow(connection, oncall, [incident], event.at)
        case "raised":
            cancel_timers(connection, incident.id, event.at)
            await_pages(connection, [incident], event.at)
        case "recovered" if incident.severity == "ticket" and incident.is_open:
            set_timers(connection, [_wait(incident, "quiet", event.at, QUIET)])
        case "refired" if incident.severity == "ticket":
            cancel_timers(connection, incident.id, event.at, "quiet")
        case "acknowledged" if incident.severity == "page":
            cancel_timers(connection, incident.id, event.at)
            set_timers(connection, [_wait(incident, "ack_timeout", event.at, timedelta(seconds=ack_timeout_s))])
        case "recovered" if incident.human_state == "paged":
            # Nobody else is paged for what is over, yet the page must still end: answered, or expired.
            if "expire" not in pending_kinds(connection, incident.id):
                set_timers(connection, [_wait(incident, "expire", event.at, LAST_WAIT)])
        case "refired" if incident.human_state == "paged" and "escalate" in pending_kinds(connection, incident.id):
            cancel_timers(connection, incident.id, event.at, "expire")
        case "resolved" | "expired":
            cancel_timers(connection, incident.id, event.at)


def overdue(connection: Connection, oncall: OnCallConfig, incident: Incident) -> tuple[EventType, int] | None:
    """What an incident that fires again owes at once, and for which step: its wait ended while it was recovered."""
    if incident.severity != "page":
        return None
    pending = pending_kinds(connection, incident.id)
    match incident.human_state:
        case "expired":
            return "paged", 0  # nobody ever answered, and now it is back: ask again
        case "paged" if "escalate" not in pending and incident.escalation_step + 1 < len(oncall.escalation):
            return "escalated", incident.escalation_step + 1
        case "paged" if not pending:
            return "expired", 0
        case "acknowledged" if "ack_timeout" not in pending:
            return "ack_timed_out", 0
    return None


def page_command(
    kind: EventType, oncall: OnCallConfig, step: int, at: datetime, overrides: Sequence[Override], key: str
) -> Command:
    """The command that pages whom a step names. `kind` is paged, escalated or ack_timed_out."""
    called = whom(oncall, step, at, overrides)
    texts: dict[EventType, str] = {
        "paged": "paged {name}: {why}",
        "escalated": "no answer; paged {name}: {why}",
        "ack_timed_out": "no news since the acknowledgement; paged {name}: {why}",
    }
    text = texts[kind].format(name=called.name, why=called.why)
    return Command(type=kind, at=at, actor=MACHINE, key=key, person=called.id, step=step, text=text)


class Applies(Protocol):
    """Decides on a command and records it, inside a transaction: `Incidents` does."""

    def apply(self, connection: Connection, incident_id: str, command: Command) -> object: ...


def effects(incidents: Applies, oncall: OnCallConfig, db: Database) -> Mapping[str, Effect]:
    """What each kind of timer does, inside the timer's own transaction."""
    overrides = stored_overrides(db)

    def pages(kind: EventType) -> Effect:
        def effect(connection: Connection, timer: Timer, now: datetime) -> None:
            command = page_command(kind, oncall, timer.step, now, overrides, timer.id)
            incidents.apply(connection, timer.incident_id, command)

        return effect

    def expire(connection: Connection, timer: Timer, now: datetime) -> None:
        incidents.apply(connection, timer.incident_id, Command(type="expired", at=now, actor=MACHINE, key=timer.id))

    def resolve(connection: Connection, timer: Timer, now: datetime) -> None:
        text = f"resolved by itself: nothing fired for {duration(QUIET)}"
        command = Command(type="resolved", at=now, actor=MACHINE, key=timer.id, text=text)
        incidents.apply(connection, timer.incident_id, command)

    return {
        "quiet": resolve,
        "page": pages("paged"),
        "escalate": pages("escalated"),
        "ack_timeout": pages("ack_timed_out"),
        "expire": expire,
    }
