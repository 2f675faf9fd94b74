"""What is sent to humans, and the one method that a channel has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from alerting.machine import Incident, Thread

__all__ = ["Channel", "Message", "MessageKind", "Thread"]

MessageKind = Literal["page", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to tell humans about an incident.

    `key` is `incident:step`: a channel that was given the key before sends nothing. A `page` wakes `mention`
    (a person's id in the channel); an `update` edits what is there.
    """

    key: str
    kind: MessageKind
    incident: Incident
    mention: str = ""
    text: str = ""
    thread: Thread | None = None


class Channel(Protocol):
    """A way to reach humans."""

    def send(self, message: Message) -> Thread:
        """Deliver a message; the thread that the incident now has.

        Raises:
            DeliveryError: not delivered; `retry` says whether trying again can help.
        """
        ...
