"""Slack as a channel: one message an incident, edited in place, with what is new in its thread.

A page is one call, `chat.postMessage`; nothing that may fail comes before it. Every post carries its key as message
metadata. Before a post that may be a repeat, the channel's own history is searched for the key, so that a kill between
the send and its record shows a human nothing twice; where the history cannot be read, the page goes out all the same:
a doubled page beats none. What only helps (history, user and channel look-ups, details) may fail: that is reported, and
the rest goes on.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from alerting.channels.channel import Digest, Message, Notice, Picture, Thread
from alerting.channels.slack import blocks as slack_blocks
from alerting.channels.slack.drill import post_test
from alerting.channels.slack.notices import notice_blocks, notice_text
from alerting.channels.slack.pictures import upload
from alerting.channels.slack.questions import question_blocks, question_text
from alerting.channels.slack.refusals import GONE, NO_CHANNEL, delivery_error, reason_of
from alerting.channels.slack.replies import EVENT_TYPE, HISTORY, Replies, metadata, payload
from alerting.incidents.machine import Incident
from alerting.oncall.escalation import known_person
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems

LOOP: Final = "slack"
LISTED: Final = 500  # channels a page; Slack takes up to 1000, and recommends no more than 200 to 500
# A page must fail well within the outbox's lease.
TIMEOUT_S: Final = 6
# Slack rejects what is in the message: it accepts plain text instead.
TOO_MUCH: Final = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_too_large",
        "metadata_must_be_sent_from_app",
        "invalid_arguments",
    }
)
NOBODY: Final = frozenset({"user_not_found", "users_not_found", "user_not_visible"})
# How long an answer of `users.info` is used.
KNOWN_FOR_S: Final = 600.0
LATEST_REPEAT_S: Final = 86_400.0  # a digest that could not be sent for a day is overtaken by the next
CHANNEL_ID: Final = re.compile(r"[CGD][A-Z0-9]{7,}")
T = TypeVar("T")


class SlackChannel:
    """Sends through Slack's Web API, or through the stand-in that speaks it."""

    def __init__(
        self, config: Config, track_record: Callable[[Incident], str] = lambda _: "", problems: Problems | None = None
    ) -> None:
        """`track_record` is for the last line of the message: how often the incident's detector was right."""
        self._config = config
        self._track_record = track_record
        self._problems = problems or Problems(None)
        self._channel_name = config.slack.channel
        self._channel_id = self._channel_name if CHANNEL_ID.fullmatch(self._channel_name) else None
        self._users: dict[str, tuple[float, str | None]] = {}
        self._client: WebClient | None = None
        self._replies = Replies(self._api, self._post_to, self._best_effort)

    def send(self, message: Message) -> Thread:
        """Post, reply or edit; see alerting.channels.channel.Channel."""
        return self._as_delivery_errors(
            lambda: self._page(message) if message.kind == "page" else self._update(message)
        )

    def send_digest(self, digest: Digest) -> Thread:
        """Post one message about several incidents, or edit it; see alerting.channels.channel.Channel."""
        return self._as_delivery_errors(lambda: self._digest(digest))

    def show_notice(self, notice: Notice, thread: Thread | None, *, maybe_there: bool = False) -> Thread:
        """Post a notice, or edit it; see alerting.channels.channel.ShowsNotices."""
        return self._as_delivery_errors(lambda: self._notice(notice, thread, maybe_there=maybe_there))

    def show_picture(self, picture: Picture, thread: Thread, *, maybe_there: bool = False) -> Thread:
        """Put a picture into a thread; see alerting.channels.channel.ShowsPictures."""
        return self._as_delivery_errors(lambda: upload(self._config, picture, thread, maybe_there=maybe_there))

    def _notice(self, notice: Notice, thread: Thread | None, *, maybe_there: bool) -> Thread:
        text, blocks = notice_text(notice), notice_blocks(notice)
        if thread is None and maybe_there:
            thread = self._find("key", notice.key, time.time() - LATEST_REPEAT_S, notice.place)
        if thread is not None:
            try:
                self._api().chat_update(channel=thread.conversation, ts=thread.ts, text=text, blocks=blocks)
            except SlackApiError as error:
                if reason_of(error) not in GONE:
                    raise
            else:
                return thread
        known_by = metadata("", notice.key, "notice", notice.key)
        if notice.place:
            answer = self._post_to(notice.place, "", text, blocks=blocks, metadata=known_by)
            return Thread(conversation=str(answer["channel"]), ts=str(answer["ts"]))
        return self._post("", text, blocks=blocks, metadata=known_by)

    def send_test(self, address: str, text: str) -> Thread:
        """Post a test page to the channel, with a mention; see alerting.channels.channel.Channel."""
        return post_test(self._config, self._api(), address, text)

    def unreachable(self, mention: str) -> str | None:
        """Why a mention reaches nobody in Slack; None where it does, or where Slack did not answer."""
        if mention.startswith("!"):
            return None
        known = self._users.get(mention)
        if known is None or time.monotonic() - known[0] > KNOWN_FOR_S:
            known = time.monotonic(), self._unknown_user(mention)
            self._users[mention] = known
        return known[1]

    def _unknown_user(self, user: str) -> str | None:
        try:
            answer = self._api().users_info(user=user)
        except SlackApiError as error:
            if reason_of(error) in NOBODY:
                return f"Slack knows no user {user!r}"
            self._note("users.info", error)
            return None
        except (SlackClientError, OSError) as error:
            self._note("users.info", error)
            return None
        return f"Slack user {user!r} is deactivated" if (answer.get("user") or {}).get("deleted") else None

    # A page: one call

    def _page(self, message: Message) -> Thread:
        thread = message.thread
        if not message.first_try:
            thread = thread or self._find("incident", message.incident.id, message.incident.opened_at.timestamp())
            if thread and message.key in self._replies.keys(thread):
                return thread
        if thread:
            try:
                self._reply(message, thread)
            except SlackApiError as error:
                if reason_of(error) not in GONE | NO_CHANNEL:
                    raise
            else:
                return thread
        return self._post_root(message)

    def _digest(self, digest: Digest) -> Thread:
        url = f"{self._config.web_url}/incidents"
        if digest.tickets_at:
            return self._tickets(digest, digest.tickets_at, url)
        text = slack_blocks.digest_line(digest.incidents)
        blocks = slack_blocks.digest(
            digest.incidents,
            key=digest.key,
            url=url,
            mention=digest.mention or self._waited_for(*digest.incidents),
            why=digest.text,
        )
        if digest.thread:
            try:
                self._api().chat_update(
                    channel=digest.thread.conversation, ts=digest.thread.ts, text=text, blocks=blocks
                )
            except SlackApiError as error:
                if reason_of(error) not in GONE:
                    raise
            else:
                for incident in digest.incidents:
                    self._show_questions(incident, digest.thread)
                return digest.thread
        elif not digest.first_try:
            opened = min(incident.opened_at.timestamp() for incident in digest.incidents)
            if posted := self._find("key", digest.part, opened):
                return posted
        return self._post(digest.mention, text, blocks=blocks, metadata=_digest_metadata(digest))

    def _tickets(self, digest: Digest, at: datetime, url: str) -> Thread:
        if not digest.first_try and (posted := self._find("key", digest.part, at.timestamp() - LATEST_REPEAT_S)):
            return posted
        text, blocks = slack_blocks.tickets(digest.incidents, at=at, url=url)
        return self._post("", text, blocks=blocks, metadata=_digest_metadata(digest))

    # An update: the message, its details, a line

    def _update(self, message: Message) -> Thread:
        thread = message.thread
        if thread is None and not message.first_try:
            thread = self._find("incident", message.incident.id, message.incident.opened_at.timestamp())
        if thread is not None:
            try:
                self._edit_root(message, thread)
            except SlackApiError as error:
                if reason_of(error) not in GONE:
                    raise
                thread = None  # somebody deleted the message: post the incident anew
        # The message itself shows what its first key is about; only later keys get a line in the thread.
        fresh = thread is None
        thread = thread or self._post_root(message)
        self._show_details(message.incident, thread)
        self._show_questions(message.incident, thread)
        is_line = message.text and not _is_of_question(message)
        if not fresh and is_line and (message.first_try or message.key not in self._replies.keys(thread)):
            self._reply(message, thread)
        return thread

    def _edit_root(self, message: Message, thread: Thread) -> None:
        mention, text = self._waited_for(message.incident), slack_blocks.fallback(message.incident)
        blocks = self._blocks(message, mention)
        text = text if blocks else self._without_blocks(mention, text)
        self._api().chat_update(channel=thread.conversation, ts=thread.ts, text=text, blocks=blocks)

    def _show_details(self, incident: Incident, thread: Thread) -> None:
        """Diagnosis and evidence: one reply, edited when they change."""
        blocks = slack_blocks.details(incident)
        if blocks:
            self._replies.show(incident.id, thread, "details", "Diagnosis and evidence", blocks)

    def _show_questions(self, incident: Incident, thread: Thread) -> None:
        """What the runbook asks: a reply for each question, edited when it has its answer."""
        mention = self._id_on(incident) if incident.questions else ""
        for asked in incident.questions:
            blocks = question_blocks(asked, incident.id, incident.service, mention if asked.is_open else "")
            # Where nobody is on the incident, the whole channel sees it.
            broadcast = asked.is_open and not mention
            part = f"question:{asked.question.id}"
            self._replies.show(incident.id, thread, part, question_text(asked), blocks, reply_broadcast=broadcast)

    def _id_on(self, incident: Incident) -> str:
        """The Slack id of whoever is on an incident: who acknowledged it, else who was paged; empty for nobody."""
        person = known_person(self._config.oncall, incident.acknowledged_by)
        return self._address(person.id if person else incident.paged_person)

    def _address(self, person_id: str) -> str:
        """Somebody's Slack id now; empty where there is none."""
        person = self._config.oncall.person(person_id)
        return person.address("slack") if person else ""

    def _names(self) -> dict[str, str]:
        return {person.id: person.name for person in self._config.oncall.people}

    # Posts

    def _post_root(self, message: Message) -> Thread:
        text = slack_blocks.fallback(message.incident)
        blocks = self._blocks(message, message.mention)
        return self._post(
            message.mention,
            text,
            blocks=blocks,
            metadata=metadata(message.incident.id, message.key, "root", message.key),
        )

    def _post(self, mention: str, text: str, **content: Any) -> Thread:
        """A new message in the channel; where the channel refuses it, directly to the person it mentions."""
        try:
            answer = self._post_to(self._channel_name, mention, text, **content)
            self._channel_id = str(answer["channel"])
            self._problems.solved(LOOP, self._channel_name)
        except SlackApiError as error:
            if reason_of(error) not in NO_CHANNEL or not mention or mention.startswith("!"):
                raise
            why = (
                f"Slack refuses the channel: {reason_of(error)}; pages go to the person directly; check `slack.channel`"
            )
            self._problems.report(LOOP, self._channel_name, why)
            answer = self._post_to(mention, mention, text, **content)
        return Thread(conversation=str(answer["channel"]), ts=str(answer["ts"]))

    def _post_to(self, channel: str, mention: str, text: str, **content: Any) -> Any:
        try:
            if content.get("blocks", True):
                return self._api().chat_postMessage(channel=channel, text=text, unfurl_links=False, **content)
        except SlackApiError as error:
            if reason_of(error) not in TOO_MUCH:
                raise
            self._note("chat.postMessage", error)
        where = {"thread_ts": content["thread_ts"]} if "thread_ts" in content else {}
        return self._api().chat_postMessage(channel=channel, text=self._without_blocks(mention, text), **where)

    def _without_blocks(self, mention: str, text: str) -> str:
        plain = f"{slack_blocks.mention_of(mention)} {text}" if mention else text
        return f"{plain}\n{self._config.web_url}/incidents"

    def _reply(self, message: Message, thread: Thread) -> None:
        """What is new, in the thread; a page mentions its recipient, and is shown in the channel, too."""
        mentions = message.kind == "page" and message.mention
        text = slack_blocks.line(message.text)
        if mentions:
            text = f"{slack_blocks.mention_of(message.mention)} {text or slack_blocks.fallback(message.incident)}"
        if text:
            self._post_to(
                thread.conversation,
                "",
                text,
                thread_ts=thread.ts,
                metadata=metadata(message.incident.id, message.key, "line", message.key),
                reply_broadcast=bool(mentions),
            )

    def _waited_for(self, *incidents: Incident) -> str:
        """Whom an unanswered page waits for: an edit keeps the mention. It notifies nobody a second time."""
        waited = next((incident.paged_person for incident in incidents if incident.human_state == "paged"), "")
        return self._address(waited)

    def _blocks(self, message: Message, mention: str = "") -> slack_blocks.Blocks:
        incident = message.incident
        return slack_blocks.message(
            incident, url=self._url(message), mention=mention, record=self._track_record(incident), names=self._names()
        )

    # Reading Slack's history: it helps, and may fail

    def _find(self, name: str, value: str, since: float, place: str = "") -> Thread | None:
        """The message whose metadata has a value, if one was posted and a kill kept us from remembering."""
        return self._best_effort("conversations.history", lambda: self._look_for(name, value, since, place))

    def _look_for(self, name: str, value: str, since: float, place: str) -> Thread | None:
        channel = place or self._look_up_channel()
        if channel is None:
            return None
        # Slack's clock and ours may differ by a minute; no message can be older than its incident otherwise.
        oldest = f"{since - 60:.6f}"
        pages = self._api().conversations_history(
            channel=channel, oldest=oldest, limit=HISTORY, include_all_metadata=True
        )
        for page in pages:  # the response asks for the pages that follow
            for post in page["messages"]:
                known = payload(post)
                if known.get(name) == value and known.get("part") in ("root", "digest", "notice"):
                    return Thread(conversation=channel, ts=str(post["ts"]))
        return None

    def _look_up_channel(self) -> str | None:
        """The channel's id: configured, known from a post, or looked up."""
        if self._channel_id is None:
            name = self._channel_name.lstrip("#")
            pages = self._api().conversations_list(limit=LISTED, exclude_archived=True)
            known = (listed for page in pages for listed in page["channels"])
            self._channel_id = next(
                (str(listed["id"]) for listed in known if name in (listed["name"], listed["id"])), None
            )
        return self._channel_id

    def _best_effort(self, what: str, call: Callable[[], T]) -> T | None:
        try:
            result = call()
        except (SlackClientError, OSError) as error:
            self._note(what, error)
            return None
        self._problems.solved(LOOP, what)
        return result

    def _note(self, what: str, error: Exception) -> None:
        reason = reason_of(error) if isinstance(error, SlackApiError) else str(error)
        self._problems.report(LOOP, what, f"Slack refused or did not answer: {reason}; pages go out all the same")

    # How

    def _as_delivery_errors(self, send: Callable[[], Thread]) -> Thread:
        try:
            return send()
        except SlackApiError as error:
            raise delivery_error(error) from error
        except (SlackClientError, OSError) as error:
            nobody_there = isinstance(getattr(error, "reason", error), ConnectionRefusedError | socket.gaierror)
            raise DeliveryError(f"Slack cannot be reached: {error}", retry=True, unsent=nobody_there) from error

    def _api(self) -> WebClient:
        if self._client is None:
            # No retries here: the outbox tries again, and its lease must not end while a send goes on.
            self._client = WebClient(
                token=self._config.slack_token(),
                base_url=self._config.slack_api_url(),
                timeout=TIMEOUT_S,
                retry_handlers=[],
            )
        return self._client

    def _url(self, message: Message) -> str:
        return f"{self._config.web_url}/incidents/{message.incident.id}"


def _is_of_question(message: Message) -> bool:
    """Whether the news is a question or its end, which a reply of its own shows."""
    lines = (line for asked in message.incident.questions for line in (asked.question.asks, asked.ended))
    return message.text in lines


def _digest_metadata(digest: Digest) -> dict[str, Any]:
    payload = {"key": digest.part, "part": "digest", "first": digest.part}
    return {"event_type": EVENT_TYPE, "event_payload": payload}
