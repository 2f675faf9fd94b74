"""By which channels an event reaches people, and when: a row of the outbox for each channel, address and rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.vocabulary import CANARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one person is paged: by a channel at an address, `after_s` seconds after the page was decided.

    `rule` counts the ways of one page from 0. An empty address stands for whoever the channel can reach.
    """

    channel: str
    address: str
    after_s: float = 0.0
    rule: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The channels in use, and everybody's addresses. The canary's page goes its own way, and no other.

    >>> from watchkeeper.config import NotificationRule, OnCallConfig, PersonConfig
    >>> ana = PersonConfig(id="ana", name="Ana", addresses={"slack": "U0ANA"})
    >>> rules = (NotificationRule(channel="slack"), NotificationRule(channel="mail", after_s=60))
    >>> ben = PersonConfig(id="ben", name="Ben", addresses={"slack": "U0BEN", "mail": "b@x"}, notification_rules=rules)
    >>> oncall = OnCallConfig(people=(ana, ben, PersonConfig(id="oncall", name="On call")))
    >>> routing = Routing(channels=("slack", "mail"), oncall=oncall)
    >>> [(way.channel, way.address, way.after_s) for way in routing.ways("ana")]
    [('slack', 'U0ANA', 0.0)]
    >>> [(way.channel, way.address, way.after_s) for way in routing.ways("ben")]
    [('slack', 'U0BEN', 0.0), ('mail', 'b@x', 60.0)]
    >>> [(way.channel, way.address, way.after_s) for way in routing.ways("gone")]
    [('slack', '', 0.0), ('mail', '', 0.0)]
    """

    channels: tuple[str, ...]
    oncall: OnCallConfig
    canary: Way = Way(channel=CANARY, address="")

    def ways(self, person_id: str) -> tuple[Way, ...]:
        """How a person is paged: by their notification rules; without rules, by every channel of theirs at once.

        Where no channel has an address of theirs, every channel pages, and finds somebody else when it sends.
        """
        person = self.oncall.person(person_id)
        if person and (ways := tuple(self._by_rules(person))):
            return ways
        reached = tuple(self.addresses(person)) if person else ()
        return reached or tuple(Way(channel=name, address="") for name in self.channels)

    def addresses(self, person: PersonConfig) -> Iterator[Way]:
        """The channels in use that have an address of a person."""
        for name in self.channels:
            if address := person.address(name):
                yield Way(channel=name, address=address)

    def _by_rules(self, person: PersonConfig) -> Iterator[Way]:
        """The rules whose channels are in use; the next one takes the time of one whose channel is not."""
        earliest: float | None = None
        number = 0
        for rule in person.notification_rules:
            after_s = rule.after_s if earliest is None else earliest
            address = person.address(rule.channel)
            if rule.channel not in self.channels or not address:
                earliest = after_s
                continue
            yield Way(channel=rule.channel, address=address, after_s=after_s, rule=number)
            earliest, number = None, number + 1
