"""By which channels an event reaches people: a row of the outbox for each channel and address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watchkeeper.config import OnCallConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The channels in use, and everybody's addresses.

    >>> from watchkeeper.config import OnCallConfig, PersonConfig
    >>> ana = PersonConfig(id="ana", name="Ana", addresses={"slack": "U0ANA"})
    >>> oncall = OnCallConfig(people=(ana, PersonConfig(id="oncall", name="On call")))
    >>> list(Routing(channels=("slack", "mail"), oncall=oncall).pages("ana"))
    [('slack', 'U0ANA')]
    >>> list(Routing(channels=("slack", "mail"), oncall=oncall).pages("gone"))
    [('slack', ''), ('mail', '')]
    """

    channels: tuple[str, ...]
    oncall: OnCallConfig

    def pages(self, person_id: str) -> Iterator[tuple[str, str]]:
        """The channels that page a person, each with the address.

        Where no channel has an address of theirs, every channel pages, and finds somebody else when it sends.
        """
        person = next((person for person in self.oncall.people if person.id == person_id), None)
        addresses = {name: person.address(name) for name in self.channels} if person else {}
        reached = [(name, address) for name, address in addresses.items() if address]
        yield from reached or [(name, "") for name in self.channels]
