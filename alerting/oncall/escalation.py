"""Who is paged next when nobody acknowledges, on durable timers.

Kinds of timers: `page` (the first page, should whoever opened the incident die before sending it), `first_step` (the
first page of an escalation that does not begin at once), `escalate` (the next step), `expire` (nobody is left to ask),
`ack_timeout` (somebody took it and was not heard of since), `quiet` (a ticket, or what never came to its first step, is
over and may come back), `snooze` and `silence` (until then a human suppressed its pages), `update` (a status update is
due, as often as the severity asks for one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection, update

from alerting.incidents.machine import Command, Event, EventType, Incident
from alerting.oncall.chain import LAST_WAIT_S, Chain, ChainStep, chain_for, whom
from alerting.oncall.schedule import Override
from alerting.oncall.timers import Effect, Row, Timer, cancel_timers, pending_kinds, set_timers, timer_row, waiting_for
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.durations import duration
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import round_robins
from watchkeeper.text import one_line
from watchkeeper.vocabulary import CANARY, Actor

MACHINE: Final = Actor(name="Watchkeeper", via="system")
# Whoever opens an incident pages as soon as it is diagnosed. Should that fail, this timer pages without it: a diagnosis
# takes seconds, and a page that is a quarter of a minute late is still in time.
PAGE_WITHIN: Final = timedelta(seconds=15)
# Watchkeeper's own alert pages nobody on call.
CANARY_CHAIN: Final = Chain(steps=(ChainStep(after_s=0.0, notify=(), name="the canary"),))
LAST_WAIT: Final = timedelta(seconds=LAST_WAIT_S)
# A ticket is resolved when nothing of it fired for so long.
QUIET: Final = timedelta(hours=1)
# The waits of which an incident that pages has one at a time.
ANSWERS: Final = ("page", "first_step", "escalate", "expire", "ack_timeout", "snooze", "silence")
# The waits that end with an answer, or with the incident; a status update stays due.
STEPS_AND_END: Final = (*ANSWERS, "quiet")
# Events that page somebody, and begin the wait for the next.
PAGES: Final = frozenset({"paged", "escalated", "ack_timed_out", "snooze_ended", "silence_ended"})


def known_person(oncall: OnCallConfig, actor: Actor | None) -> PersonConfig | None:
    """The configured person behind an actor: a channel knows addresses, a command line names. A token is nobody."""
    if actor is None or actor.via == "api":
        return None
    for known in oncall.people:
        names = (known.id, one_line(known.name, 100), *known.addresses.values())
        if actor.name.casefold() in [name.casefold() for name in names]:
            return known
    return None


def chain_of(oncall: OnCallConfig, incident: Incident) -> Chain:
    """The escalation of an incident: as it began; of one that has not begun, as it would be now."""
    return incident.chain or (CANARY_CHAIN if incident.is_canary else _new_chain(oncall, incident))


def _new_chain(oncall: OnCallConfig, incident: Incident) -> Chain:
    return chain_for(oncall, incident.service, _labels(incident), level=incident.level)


def policy_of(oncall: OnCallConfig, incident: Incident) -> str:
    """The escalation policy that an incident would have now; empty: the default escalation."""
    return _new_chain(oncall, incident).policy


def _labels(incident: Incident) -> tuple[str, ...]:
    """The labels of the alerts that page, as other systems gave them."""
    pages = (finding for finding in incident.findings if incident.counts(finding))
    return tuple(finding.alert.labels for finding in pages if finding.alert)


def steps_follow(connection: Connection, oncall: OnCallConfig, incidents: Sequence[Incident], at: datetime) -> None:
    """After pages: wait for each one's next step, or for its end."""
    ids = [incident.id for incident in incidents]
    cancel_timers(connection, ids, at, *ANSWERS)
    set_timers(connection, [_next_wait(oncall, incident, at) for incident in incidents])


def _next_wait(oncall: OnCallConfig, incident: Incident, at: datetime) -> Row:
    chain, following = chain_of(oncall, incident), incident.escalation_step + 1
    # What has recovered pages nobody else: its page waits for an answer, or expires.
    if following < len(chain.steps) and incident.system_state == "firing":
        # Counted from the page that was really sent: after an outage of ours everybody still gets their time.
        gap = chain.steps[following].after_s - chain.steps[incident.escalation_step].after_s
        return _wait(incident, "escalate", at, timedelta(seconds=max(gap, 0)), step=following)
    return _wait(incident, "expire", at, timedelta(seconds=chain.timeout_s))


def _wait(incident: Incident, kind: str, at: datetime, how_long: timedelta, step: int = 0) -> Row:
    return timer_row(incident.id, kind, at + how_long, version=incident.version, step=step, at=at)


def first_delay(oncall: OnCallConfig, incident: Incident) -> timedelta:
    """How long an incident must fire before its first step pages somebody."""
    return timedelta(seconds=chain_of(oncall, incident).steps[0].after_s)


def delays(oncall: OnCallConfig) -> bool:
    """Whether any escalation begins later than at once."""
    steps = [oncall.escalation[:1], *(policy.steps[:1] for policy in oncall.policies)]
    return any(step.after_s for first in steps for step in first)


def await_pages(connection: Connection, oncall: OnCallConfig, incidents: Sequence[Incident], at: datetime) -> None:
    """Wait for the first page of incidents that were opened or raised."""
    rows = []
    for incident in incidents:
        delay = first_delay(oncall, incident)
        rows.append(_wait(incident, "first_step" if delay else "page", at, delay or PAGE_WITHIN))
    set_timers(connection, rows)


def await_updates(connection: Connection, oncall: OnCallConfig, incidents: Sequence[Incident], at: datetime) -> None:
    """Wait for the next status update of incidents whose severity, new or changed, asks for them."""
    # One that was only just opened has no wait to end.
    cancel_timers(connection, [one.id for one in incidents if one.version > 1], at, "update")
    rows = []
    for incident in incidents:
        every_s = oncall.severities.update_every_s.get(incident.level) if incident.level else None
        if every_s is not None and incident.is_open and not incident.is_canary:
            rows.append(_wait(incident, "update", at, timedelta(seconds=every_s)))
    set_timers(connection, rows)


def silences_follow(connection: Connection, incidents: Sequence[Incident], at: datetime) -> None:
    """After silences took the place of pages: wait for the end of each."""
    cancel_timers(connection, [incident.id for incident in incidents], at, *STEPS_AND_END)
    waits = [(incident, incident.silenced_until or at) for incident in incidents]
    set_timers(connection, [_wait(incident, "silence", at, until - at) for incident, until in waits])


def recoveries_follow(
    connection: Connection, oncall: OnCallConfig, incidents: Sequence[Incident], at: datetime
) -> None:
    """After recoveries: what ends by itself waits for that. Of the others no wait ends."""
    quiet = [incident for incident in incidents if _ends_by_itself(oncall, incident)]
    # Nobody else is paged for what is over, yet the page must still end: answered, or expired.
    paged = [incident.id for incident in incidents if incident.human_state == "paged"]
    ending = waiting_for(connection, paged, "expire")
    pages = [one for one in incidents if one.human_state == "paged" and one.id not in ending and one not in quiet]
    set_timers(connection, [_wait(incident, "quiet", at, QUIET) for incident in quiet])
    set_timers(connection, [_wait(incident, "expire", at, LAST_WAIT) for incident in pages])


def is_told(incident: Incident) -> bool:
    """Whether whoever it was just assigned to is paged: not for a ticket, nor for what has recovered."""
    return incident.severity == "page" and incident.system_state == "firing"


def consequences(  # noqa: C901 - one flat table of events
    connection: Connection, oncall: OnCallConfig, incident: Incident, event: Event, ack_timeout_s: float
) -> None:
    """The waits that an event begins and ends, in the event's own transaction.

    A recovery ends no wait and a refiring begins none anew: what flaps would else never reach the next person. A wait
    that ends while the incident is recovered pages nobody; should it fire again, `overdue` gives what is due at once.
    """
    match event.type:
        case kind if kind in PAGES or (kind == "assigned" and is_told(incident)):
            steps_follow(connection, oncall, [incident], event.at)
        case "snoozed" if event.until:
            cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
            set_timers(connection, [_wait(incident, "snooze", event.at, event.until - event.at)])
        case "silenced":
            silences_follow(connection, [incident], event.at)
        case "split" if incident.severity == "page":
            set_timers(connection, [_wait(incident, "ack_timeout", event.at, timedelta(seconds=ack_timeout_s))])
        case "split" if incident.system_state == "recovered":
            set_timers(connection, [_wait(incident, "quiet", event.at, QUIET)])
        case "raised":
            cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
            await_pages(connection, oncall, [incident], event.at)
        case "recovered":
            recoveries_follow(connection, oncall, [incident], event.at)
        case "refired" if incident.severity == "ticket" or incident.human_state == "waiting":
            cancel_timers(connection, incident.id, event.at, "quiet")
        case "acknowledged" if incident.severity == "page":
            cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
            set_timers(connection, [_wait(incident, "ack_timeout", event.at, timedelta(seconds=ack_timeout_s))])
        case "refired" if incident.human_state == "paged" and "escalate" in pending_kinds(connection, incident.id):
            cancel_timers(connection, incident.id, event.at, "expire")
        case "expired":
            cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
        case "resolved" | "merged":
            cancel_timers(connection, incident.id, event.at)
        case "severity_changed":
            _severity_follows(connection, oncall, incident, event)
        case "update_due":
            await_updates(connection, oncall, [incident], event.at)


def _severity_follows(connection: Connection, oncall: OnCallConfig, incident: Incident, event: Event) -> None:
    """After a human set the severity: another escalation begins, or none goes on."""
    if event.anew:
        cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
        await_pages(connection, oncall, [incident], event.at)
    elif not event.pages:
        cancel_timers(connection, incident.id, event.at, *STEPS_AND_END)
        if incident.system_state == "recovered":
            set_timers(connection, [_wait(incident, "quiet", event.at, QUIET)])


def _ends_by_itself(oncall: OnCallConfig, incident: Incident) -> bool:
    """Whether an incident is resolved when it stays quiet: a ticket, or what was over before its first step."""
    if incident.severity == "ticket":
        return incident.is_open
    return incident.human_state == "waiting" and bool(first_delay(oncall, incident))


def overdue(connection: Connection, oncall: OnCallConfig, incident: Incident) -> tuple[EventType, int] | None:
    """What an incident that fires again owes at once, and for which step: its wait ended while it was recovered."""
    if incident.severity != "page":
        return None
    pending = pending_kinds(connection, incident.id) & set(STEPS_AND_END)
    following = incident.escalation_step + 1
    match incident.human_state:
        case "expired":
            return "paged", 0  # nobody ever answered, and now it is back: ask again
        case "waiting" if not pending & {"page", "first_step"}:
            return "paged", 0  # its first step came while it was recovered
        case "paged" if "escalate" not in pending and following < len(chain_of(oncall, incident).steps):
            return "escalated", following
        case "paged" if not pending:
            return "expired", 0
        case "acknowledged" if "ack_timeout" not in pending:
            return "ack_timed_out", 0
        case "snoozed" if "snooze" not in pending:
            return "snooze_ended", 0
        case "silenced" if "silence" not in pending:
            return "silence_ended", 0
    return None


def page_command(kind: EventType, step: int, at: datetime, key: str, *, firing_only: bool = False) -> Command:
    """The command that pages whom a step names. `kind` is one of `PAGES`; who that is, `with_people` decides."""
    return Command(type=kind, at=at, actor=MACHINE, key=key, step=step, firing_only=firing_only)


def with_people(
    connection: Connection, oncall: OnCallConfig, incident: Incident, event: Event, overrides: Sequence[Override]
) -> Event:
    """A page with the people whom its step calls now, and why; the first one takes the chain as it is now.

    `incident` is as it was before the event.
    """
    if incident.is_canary:
        return replace(event, chain=CANARY_CHAIN, person=CANARY, text="paged the canary: no human is paged")
    chain = incident.chain if event.type != "paged" else None
    if chain is None:
        turn = partial(_next_turn, connection)
        chain = chain_for(oncall, incident.service, _labels(incident), turn, incident.level)
        event = replace(event, chain=chain)
    called = whom(oncall, chain.step(event.step), event.at, overrides)
    paged = "; and ".join(f"{each.name}: {each.why}" for each in called)
    texts: dict[str, str] = {
        "paged": "paged {paged}",
        "escalated": "no answer; paged {paged}",
        "ack_timed_out": "no news since the acknowledgement; paged {paged}",
        "snooze_ended": "the snooze is over and it still fires; paged {paged}",
        "silence_ended": "the silence is over and it still fires; paged {paged}",
    }
    text = texts[event.type].format(paged=paged)
    return replace(event, person=called[0].id, also=tuple(each.id for each in called[1:]), text=text)


def _next_turn(connection: Connection, policy: str) -> int:
    """How often a policy's round robin was used before; this time counts from now on."""
    insert_new(connection, round_robins, {"policy": policy, "taken": 0})
    taken = update(round_robins).where(round_robins.c.policy == policy).values(taken=round_robins.c.taken + 1)
    return int(connection.execute(taken.returning(round_robins.c.taken)).scalar_one()) - 1


class Applies(Protocol):
    """Decides on a command and records it, inside a transaction: `Incidents` does."""

    def apply(self, connection: Connection, incident_id: str, command: Command) -> object: ...


def effects(incidents: Applies) -> Mapping[str, Effect]:
    """What each kind of timer does, inside the timer's own transaction."""

    def pages(kind: EventType, *, firing_only: bool = False) -> Effect:
        def effect(connection: Connection, timer: Timer, now: datetime) -> None:
            command = page_command(kind, timer.step, now, timer.id, firing_only=firing_only)
            incidents.apply(connection, timer.incident_id, command)

        return effect

    def expire(connection: Connection, timer: Timer, now: datetime) -> None:
        incidents.apply(connection, timer.incident_id, Command(type="expired", at=now, actor=MACHINE, key=timer.id))

    def resolve(connection: Connection, timer: Timer, now: datetime) -> None:
        text = f"resolved by itself: nothing fired for {duration(QUIET)}"
        command = Command(type="resolved", at=now, actor=MACHINE, key=timer.id, text=text)
        incidents.apply(connection, timer.incident_id, command)

    def update_due(connection: Connection, timer: Timer, now: datetime) -> None:
        incidents.apply(connection, timer.incident_id, Command(type="update_due", at=now, actor=MACHINE, key=timer.id))

    return {
        "update": update_due,
        "quiet": resolve,
        "page": pages("paged"),
        "first_step": pages("paged", firing_only=True),
        "escalate": pages("escalated"),
        "ack_timeout": pages("ack_timed_out"),
        "snooze": pages("snooze_ended"),
        "silence": pages("silence_ended"),
        "expire": expire,
    }
