"""A drill: one page to one person, through the channels that real pages take. It opens no incident and makes no label.

It proves what fails on the night otherwise: the token, the channel, and that the mention is of somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from alerting.channels.registry import open_channels
from watchkeeper.config import Config, OnCallConfig, PersonConfig
from watchkeeper.errors import DeliveryError, NotFound
from watchkeeper.problems import Problems


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTest:
    """What one channel made of a drill: where it is, or why it is nowhere."""

    channel: str
    address: str
    destination: str
    accepted: bool = False
    refused: str = ""
    conversation: str = ""
    ts: str = ""


def whom(oncall: OnCallConfig, given: str) -> PersonConfig:
    """A person by id, name or an address.

    Raises:
        NotFound: nobody of that name; lists who there is.
    """
    for person in oncall.people:
        names = (person.id, person.name, *person.addresses.values())
        if given.strip().casefold() in [name.casefold() for name in names]:
            return person
    known = ", ".join(person.id for person in oncall.people)
    raise NotFound(f"no person {given!r} among oncall.people; there are: {known}")


def page(config: Config, person: PersonConfig, at: datetime, asked_by: str) -> tuple[SentTest, ...]:
    """Page one person by each channel that has an address of theirs, with a message that is marked as a drill."""
    text = (
        f"Test page for {person.name}: nothing is wrong, and there is nothing to do.\n"
        f"Sent by {asked_by} with `watchkeeper test-page` at {at:%Y-%m-%d %H:%M:%S} UTC."
    )
    opened = open_channels(config, Problems(None))
    pages = []
    for name, address in person.addresses.items():
        part = opened.parts.get(name)
        place = (part.describe(config) if part else "") or name
        if why := opened.broken.get(name):
            pages.append(SentTest(channel=name, address=address, destination=place, refused=why))
            continue
        try:
            thread = opened.channels[name].send_test(address, text)
        except DeliveryError as error:
            pages.append(SentTest(channel=name, address=address, destination=place, refused=error.message))
        else:
            where = {"conversation": thread.conversation, "ts": thread.ts}
            pages.append(SentTest(channel=name, address=address, destination=place, accepted=True, **where))
    return tuple(pages)
