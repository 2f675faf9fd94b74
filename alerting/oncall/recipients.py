"""Who a page reaches: decided anew when it is sent, since people leave between the decision and the send.

Nobody is ever paged as nobody. Whoever was decided comes first; should they be gone, or unknown to the channel,
whoever is on call now, the schedule's fallback, everybody in the escalation, everybody configured, and at the very
last the channel itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerting.channels.outbox import Draft
from alerting.oncall.chain import default_chain
from alerting.oncall.schedule import Override, who_has_it
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody to page: their address in the channel, their name, and why it is them instead of somebody else."""

    mention: str
    name: str
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A channel as it reaches people: its name, and the address of the whole team; empty where it has none."""

    channel: str
    everybody: str = ""


def recipients(
    oncall: OnCallConfig, draft: Draft, at: datetime, overrides: Sequence[Override], reach: Reach
) -> tuple[Recipient, ...]:
    """Whom a channel pages, best first; each is tried when the one before cannot be reached.

    Empty only where the channel has no address of anybody.
    """
    person_id = draft.person
    decided = oncall.person(person_id)
    gone = (
        f"{person_id} is no longer configured"
        if decided is None
        else f"{decided.name} cannot be reached by {reach.channel}"
    )
    chosen: list[Recipient] = []
    names = dict.fromkeys((*draft.names, *default_chain(oncall).names_from(draft.step)))
    for person, why in _candidates(oncall, decided, tuple(names), at, overrides):
        address = person.address(reach.channel)
        if address and all(address != known.mention for known in chosen):
            instead = "" if person == decided else f"{gone}; paged {person.name}: {why}"
            chosen.append(Recipient(mention=address, name=person.name, instead=instead))
    if reach.everybody:
        instead = f"{gone}, and nobody else can be reached"
        chosen.append(Recipient(mention=reach.everybody, name="everybody in the channel", instead=instead))
    return tuple(chosen)


def _candidates(
    oncall: OnCallConfig,
    decided: PersonConfig | None,
    names: Sequence[str],
    at: datetime,
    overrides: Sequence[Override],
) -> Iterator[tuple[PersonConfig, str]]:
    if decided:
        yield decided, "decided"
    people = {person.id: person for person in oncall.people}
    for name in names:
        if name in people:
            yield people[name], "named in the escalation"
            continue
        try:
            on_call, source = who_has_it(oncall, name, at, overrides)
        except NotFound:  # the schedule is gone, too
            continue
        if on_call:
            yield on_call, f"on call in {name!r} now" if source != "fallback" else f"fallback of {name!r}"
    for schedule in oncall.schedules:
        if schedule.fallback in people:
            yield people[schedule.fallback], f"fallback of {schedule.id!r}"
    for person in oncall.people:
        yield person, "configured"
