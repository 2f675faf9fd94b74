"""A drill: one page to one person, by their notification rules. It opens no incident and makes no label.

It proves what fails on the night otherwise: the token, the channel, and that the mention is of somebody. Each channel
is tried at once, whatever its rule waits for, and also one that no rule names: it pages where another one fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from alerting.channels.deadline import Deadline
from alerting.channels.registry import OpenChannels, open_channels
from watchkeeper.config import Config, OnCallConfig, PersonConfig
from watchkeeper.errors import DeliveryError, NotFound
from watchkeeper.problems import Problems


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTest:
    """What one channel made of a drill: where it is, or why it is nowhere.

    `after_s` is how long after a page the person's rule sends it; None where no rule does.
    """

    channel: str
    address: str
    destination: str
    after_s: float | None = 0.0
    accepted: bool = False
    refused: str = ""
    conversation: str = ""
    ts: str = ""


def whom(oncall: OnCallConfig, given: str) -> PersonConfig:
    """A person by id, name or an address.

    Raises:
        NotFound: nobody of that name; lists who there is.
    """
    found = oncall.named(given.strip())
    if found is None:
        known = ", ".join(person.id for person in oncall.people)
        raise NotFound(f"no person {given!r} among oncall.people; there are: {known}")
    return found


def page(config: Config, person: PersonConfig, at: datetime, asked_by: str) -> tuple[SentTest, ...]:
    """Page one person by each channel that has an address of theirs, with a message that is marked as a drill."""
    text = (
        f"Test page for {person.name}: nothing is wrong, and there is nothing to do.\n"
        f"Sent by {asked_by} with `watchkeeper test-page` at {at:%Y-%m-%d %H:%M:%S} UTC."
    )
    opened = open_channels(config, Problems(None))
    return tuple(_sent(config, opened, name, person.address(name), text, after_s) for name, after_s in _rules(person))


def _rules(person: PersonConfig) -> list[tuple[str, float | None]]:
    """The person's channels in the order in which they page, each with its first wait."""
    waits: dict[str, float | None] = {}
    for rule in person.notification_rules:
        waits.setdefault(rule.channel, rule.after_s)
    for name in person.addresses:
        waits.setdefault(name, None if person.notification_rules else 0.0)
    return list(waits.items())


def _sent(config: Config, opened: OpenChannels, name: str, address: str, text: str, after_s: float | None) -> SentTest:
    part = opened.parts.get(name)
    destination = (part.describe(config) if part else "") or name
    test = SentTest(channel=name, address=address, destination=destination, after_s=after_s)
    if why := opened.broken.get(name):
        return replace(test, refused=why)
    try:
        thread = Deadline(opened.channels[name], name).send_test(address, text)
    except DeliveryError as error:
        return replace(test, refused=error.message)
    except Exception as error:  # noqa: BLE001 - whatever one channel dies of, the others are tried
        return replace(test, refused=f"{type(error).__name__}: {error}")
    return replace(test, accepted=True, conversation=thread.conversation, ts=thread.ts)
