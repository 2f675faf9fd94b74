"""What is sent to humans, what a channel can do, and what a package declares of its channel.

A channel is added by one file and one entry point in the group `watchkeeper.channels`, which names a `ChannelPart`.
The configuration's `channels:` puts it to use by the entry point's name; `addresses:` of a person says where it
reaches them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from alerting.incidents.machine import Incident
from watchkeeper.config import Config
from watchkeeper.problems import Problems

MessageKind = Literal["page", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """Where an incident's messages are in a channel: a conversation, and the first message in it."""

    conversation: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel shows humans of an incident.

    `key` is the message's own: a channel that was given the key before sends nothing. A `page` mentions `mention`
    (a person's address in the channel); an `update` edits what is there. `text` is one line of news, and of a page the
    reason why it is them. `thread` is where the incident's messages are, if that is known. `first_try` promises that
    nothing of it can be there yet, so that the channel need not look.
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
    With `tickets_at` it is the daily digest of open tickets, made at that time: it mentions nobody.
    """

    key: str
    part: str
    incidents: tuple[Incident, ...]
    mention: str = ""
    text: str = ""
    thread: Thread | None = None
    first_try: bool = False
    tickets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeButton:
    """A button of a notice; a press gives `value` back. With `confirm`, a dialog asks that first."""

    action: str
    label: str
    value: str
    style: Literal["", "primary", "danger"] = ""
    confirm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that is about no incident, posted once and edited in place. Its content is text, and no markup.

    `key` is the message's own. `facts` are names with a text or a time, which each reader sees in their own zone.
    `mentions` are addresses: whoever has one is notified when it is posted. `place` is another conversation of the
    channel than its usual one, such as the id of a channel in Slack.
    """

    key: str
    title: str
    text: str = ""
    facts: tuple[tuple[str, str | datetime], ...] = ()
    mentions: tuple[str, ...] = ()
    buttons: tuple[NoticeButton, ...] = ()
    place: str = ""


@runtime_checkable
class ShowsNotices(Protocol):
    """A channel that can show notices. Not every one can."""

    def show_notice(self, notice: Notice, thread: Thread | None, *, maybe_there: bool = False) -> Thread:
        """Post a notice, or edit the one at `thread`. `maybe_there`: look first whether it was posted.

        Raises:
            DeliveryError: not delivered; `retry` says whether trying again can help.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture for an incident's messages. `name` is its file's, and its own; `words` say what it shows."""

    name: str
    title: str
    words: str
    png: bytes


@runtime_checkable
class ShowsPictures(Protocol):
    """A channel that can show pictures. It does so on a thread of its own, beside the calls of `Channel`."""

    def show_picture(self, picture: Picture, thread: Thread, *, maybe_there: bool = False) -> Thread:
        """Show a picture in a thread. `maybe_there`: look first whether it was shown. It must end within 20 seconds.

        Raises:
            DeliveryError: not shown; `retry` says whether trying again can help.
        """
        ...


@runtime_checkable
class Repeats(Protocol):
    """A channel that forgets an incident unless it is sent again, such as an alert that ends by itself.

    It is given an update of each incident that fires every `repeat_s` seconds.
    """

    @property
    def repeat_s(self) -> float: ...


class Channel(Protocol):
    """A way to reach humans. One thread calls it, one call at a time; a call must end within 15 seconds."""

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

    def send_test(self, address: str, text: str) -> Thread:
        """Deliver a test page: one text to one address, with a mention as a real page has it.

        Raises:
            DeliveryError: not delivered; says what to do.
        """
        ...

    def unreachable(self, mention: str) -> str | None:
        """Why a mention reaches nobody; None where it reaches somebody, or where the channel cannot know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """What a channel is made from.

    Attributes:
        name: the configuration's name for it, by which people have addresses.
        settings: what `channels.<name>` holds in the configuration, unchecked.
        config: the whole configuration, such as `web_url` for links and `oncall.people` for names.
        track_record: how often the detector behind an incident was right here, as a sentence; empty where unknown.
        problems: where a channel reports what fails while messages go out all the same.
    """

    settings: Mapping[str, Any]
    config: Config
    name: str = ""
    track_record: Callable[[Incident], str] = lambda _: ""
    problems: Problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A channel that reaches a place of its own, for the conformance suite.

    Attributes:
        open: makes the channel as a new process does: over the same place, remembering nothing else.
        address: one that it reaches.
        shown: the texts that humans see there now, each message one text, in the order in which they first appeared.
        away: while its block runs, the place cannot be reached.
    """

    open: Callable[[], Channel]
    address: str
    shown: Callable[[], Sequence[str]]
    away: Callable[[], AbstractContextManager[object]]


def _any_address(_: str) -> None:
    """Whatever stands there may be an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPart:
    """A kind of channel: the object that an entry point of `watchkeeper.channels` names.

    Attributes:
        open: makes the channel. Raises ValueError for settings that are wrong. It calls nobody: a channel that is
            away when the role starts is tried when there is something to send.
        trial: for the conformance suite, given an empty folder.
        described_by: the class or function whose docstring describes it.
        everybody: the address of the whole team, which is paged when nobody else can be reached; empty for none.
        shows_updates: False for a channel that can only page, such as a telephone: it is given no updates. A function
            where its settings say.
        states_only: it shows the state of each incident and no messages, such as another system's alert: a further page
            of an incident shows nothing more.
        check_address: raises ValueError, with what is wrong, for an address that can reach nobody.
        describe: where pages go with this configuration, for `watchkeeper test-page`; empty for its name alone.
    """

    open: Callable[[ChannelContext], Channel]
    trial: Callable[[Path], AbstractContextManager[Trial]]
    described_by: object
    everybody: str = ""
    shows_updates: bool | Callable[[Mapping[str, Any]], bool] = True
    states_only: bool = False
    check_address: Callable[[str], object] = _any_address
    describe: Callable[[Config], str] = lambda _: ""

    def updates_with(self, settings: Mapping[str, Any]) -> bool:
        """Whether a channel with these settings is given updates."""
        return self.shows_updates(settings) if callable(self.shows_updates) else self.shows_updates
