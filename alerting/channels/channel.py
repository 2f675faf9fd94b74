"""What is sent to humans, and what a channel can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from alerting.incidents.machine import Incident, Thread

__all__ = ["Channel", "Digest", "Message", "MessageKind", "Thread"]

MessageKind = Literal["page", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel shows humans of an incident.

    `key` is `incident:step`: a channel that was given the key before sends nothing. A `page` mentions `mention`
    (a person's id in the channel); an `update` edits what is there. `first_try` promises that nothing of it can
    be there yet, so that the channel need not look.
    """

    key: str
    kind: MessageKind
    incident: Incident
    mention: str = ""
    text: str = ""
    thread: Thread | None = None
    first_try: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One message about several incidents, whose pages would else follow each other for minutes.

    `key` names the pages that were gathered, `part` this very message about them (another recipient gets another);
    `text` gives the reason why `mention` is paged, and is empty where an existing message (`thread`) is only refreshed.
    """

    key: str
    part: str
    incidents: tuple[Incident, ...]
    mention: str = ""
    text: str = ""
    thread: Thread | None = None
    first_try: bool = False


class Channel(Protocol):
    """A way to reach humans."""

    def send(self, message: Message) -> Thread:
        """Deliver a message; the thread that the incident now has.

        Raises:
            DeliveryError: not delivered; `retry` says whether trying again can help.
        """
        ...

    def send_digest(self, digest: Digest) -> Thread:
        """Deliver one message about several incidents, or show it anew.

        Raises:
            DeliveryError: not delivered; `retry` says whether trying again can help.
        """
        ...

    def unreachable(self, mention: str) -> str | None:
        """Why a mention reaches nobody; None where it reaches somebody, or where the channel cannot know."""
        ...
