"""Slack as a channel: one message an incident, edited in place, with what is new in its thread.

Every post carries its key as message metadata. Before a post that may be a repeat, the channel's own history is
searched for the key, so that a kill between the send and its record shows a human nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler

from alerting import slack_blocks
from alerting.channel import Message, Thread
from alerting.machine import Incident
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError
from watchkeeper.vocabulary import content_key

EVENT_TYPE: Final = "watchkeeper_incident"
HISTORY: Final = 100
# What no second try mends: a human must look at the token, the channel or the app.
HOPELESS: Final = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "missing_scope",
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "invalid_blocks",
        "msg_too_long",
    }
)
# The incident's message is no longer there to be edited.
GONE: Final = frozenset({"message_not_found", "thread_not_found", "cant_update_message"})
Posts = list[dict[str, Any]]


class SlackChannel:
    """Sends through Slack's Web API, or through the stand-in that speaks it."""

    def __init__(self, config: Config, record: Callable[[Incident], str] = lambda _: "") -> None:
        """`record` says how often the detector behind an incident was right so far, for the foot of the message."""
        self._config = config
        self._record = record
        self._room = config.slack.channel
        self._names = {person.id: person.name for person in config.oncall.people}
        self._room_id: str | None = None
        self._client: WebClient | None = None

    def send(self, message: Message) -> Thread:
        """Post, reply or edit; see alerting.channel.Channel."""
        try:
            return self._send(message)
        except SlackApiError as error:
            raise _delivery_error(error) from error
        except (SlackClientError, OSError) as error:
            raise DeliveryError(f"Slack cannot be reached: {error}", retry=True) from error

    def _send(self, message: Message) -> Thread:
        """Each part is looked for before it is posted, so that any part may be the one before which we were killed."""
        known = message.thread or self._find_root(message)
        if known is not None:
            try:
                self._edit_root(message, known)
            except SlackApiError as error:
                if _reason(error) not in GONE:
                    raise
                known = None  # somebody deleted the message: tell the incident anew
        thread = known or self._post_root(message)
        posts = self._replies(thread) if known else []
        self._show_details(message, thread, posts)
        # The message itself says what its first key says; only later keys are told again in the thread.
        told = {_payload(post).get("first") for post in posts}
        if known and message.key not in told:
            self._reply(message, thread)
        return thread

    def _post_root(self, message: Message) -> Thread:
        answer = self._api().chat_postMessage(
            channel=self._room,
            text=slack_blocks.fallback(message.incident),
            blocks=self._blocks(message, message.mention),
            metadata=self._metadata(message, "root", message.key),
            unfurl_links=False,
        )
        self._room_id = str(answer["channel"])
        return Thread(room=self._room_id, ts=str(answer["ts"]))

    def _edit_root(self, message: Message, thread: Thread) -> None:
        self._api().chat_update(
            channel=thread.room,
            ts=thread.ts,
            text=slack_blocks.fallback(message.incident),
            blocks=self._blocks(message),
        )

    def _blocks(self, message: Message, mention: str = "") -> slack_blocks.Blocks:
        incident = message.incident
        return slack_blocks.message(
            incident, url=self._url(message), mention=mention, record=self._record(incident), names=self._names
        )

    def _show_details(self, message: Message, thread: Thread, posts: Posts) -> None:
        """Diagnosis and evidence: one reply, edited when they change."""
        blocks = slack_blocks.details(message.incident)
        if not blocks:
            return
        content: dict[str, Any] = {"text": "Diagnosis and evidence", "blocks": blocks}
        shown = next((post for post in posts if _payload(post).get("part") == "details"), None)
        version = content_key(repr(blocks))
        metadata = self._metadata(message, "details", version)
        if shown is None:
            content["metadata"] = metadata
            self._api().chat_postMessage(channel=thread.room, thread_ts=thread.ts, unfurl_links=False, **content)
        elif _payload(shown).get("first") != version:
            self._api().chat_update(channel=thread.room, ts=shown["ts"], metadata=metadata, **content)

    def _reply(self, message: Message, thread: Thread) -> None:
        """What is new, in the thread; a page mentions whom it wakes, and shows in the channel too."""
        wakes = message.kind == "page" and message.mention
        text = slack_blocks.line(message.text)
        if wakes:
            text = f"<@{message.mention}> {text}"
        if text:
            self._api().chat_postMessage(
                channel=thread.room,
                thread_ts=thread.ts,
                text=text,
                metadata=self._metadata(message, "line", message.key),
                reply_broadcast=bool(wakes),
                unfurl_links=False,
            )

    def _find_root(self, message: Message) -> Thread | None:
        """This incident's message, if one was posted and a kill kept us from remembering."""
        room = self._id_of_room()
        if room is None:
            return None
        # Slack's clock and ours may differ by a minute; no message can be older than its incident otherwise.
        oldest = f"{message.incident.opened_at.timestamp() - 60:.6f}"
        for post in self._pages(self._api().conversations_history, channel=room, oldest=oldest):
            payload = _payload(post)
            if payload.get("incident") == message.incident.id and payload.get("part") == "root":
                return Thread(room=room, ts=str(post["ts"]))
        return None

    def _replies(self, thread: Thread) -> Posts:
        """The message and everything in its thread, oldest first."""
        return list(self._pages(self._api().conversations_replies, channel=thread.room, ts=thread.ts))

    def _pages(self, method: Callable[..., Any], **arguments: Any) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            page = method(limit=HISTORY, include_all_metadata=True, cursor=cursor or None, **arguments)
            yield from page["messages"]
            cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return

    def _id_of_room(self) -> str | None:
        if self._room_id is None:
            cursor = ""
            while self._room_id is None:
                page = self._api().conversations_list(limit=500, cursor=cursor, exclude_archived=True)
                for room in page["channels"]:
                    if self._room.lstrip("#") in (room["name"], room["id"]):
                        self._room_id = str(room["id"])
                cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
                if not cursor:
                    break
        return self._room_id

    def _api(self) -> WebClient:
        if self._client is None:
            retries = [ConnectionErrorRetryHandler(max_retry_count=1)]
            self._client = WebClient(
                token=self._config.slack_token(),
                base_url=self._config.slack_api_url(),
                timeout=10,
                retry_handlers=list(retries),
            )
        return self._client

    def _url(self, message: Message) -> str:
        return f"{self._config.web_url}/incidents/{message.incident.id}"

    @staticmethod
    def _metadata(message: Message, part: str, first: str) -> dict[str, Any]:
        """What a post is known by: its part (root, details, line), its key, and what its content stands for."""
        payload = {"key": message.key, "incident": message.incident.id, "part": part, "first": first}
        return {"event_type": EVENT_TYPE, "event_payload": payload}


def _payload(post: dict[str, Any]) -> dict[str, Any]:
    metadata = post.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == EVENT_TYPE else {}


def _reason(error: SlackApiError) -> str:
    response: Any = error.response
    return str(response.get("error", "unknown")) if hasattr(response, "get") else "unknown"


def _delivery_error(error: SlackApiError) -> DeliveryError:
    response: Any = error.response
    reason = _reason(error)
    if reason == "ratelimited" or getattr(response, "status_code", 0) == 429:
        wait = float(response.headers.get("Retry-After", 1))
        return DeliveryError(f"Slack asks to wait {wait:g} s", retry=True, retry_after_s=wait)
    if reason in HOPELESS:
        advice = "check the token, the app's scopes and that it is in the channel: `watchkeeper doctor`"
        return DeliveryError(f"Slack refused: {reason}; {advice}", retry=False)
    return DeliveryError(f"Slack failed: {reason}", retry=True)
