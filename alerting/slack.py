"""Slack as a channel: one message an incident, edited in place, with what is new in its thread.

Every post carries its key as message metadata. Before a post that may be a repeat, the channel's own history is
searched for the key, so that a kill between the send and its record shows a human nothing twice.
"""

from __future__ import annotations

from typing import Any, Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler

from alerting import slack_blocks
from alerting.channel import Message, Thread
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError

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


class SlackChannel:
    """Sends through Slack's Web API, or through the stand-in that speaks it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._room = config.slack.channel
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
        thread = message.thread or self._find_root(message.incident.id)
        if thread is None:
            return self._post_root(message)
        self._api().chat_update(
            channel=thread.room,
            ts=thread.ts,
            text=slack_blocks.fallback(message.incident),
            blocks=slack_blocks.message(message.incident, url=self._url(message)),
            metadata=self._metadata(message, root=True),
        )
        if not self._is_in_thread(thread, message.key):
            self._reply(message, thread)
        return thread

    def _post_root(self, message: Message) -> Thread:
        answer = self._api().chat_postMessage(
            channel=self._room,
            text=slack_blocks.fallback(message.incident),
            blocks=slack_blocks.message(message.incident, url=self._url(message), mention=message.mention),
            metadata=self._metadata(message, root=True),
            unfurl_links=False,
        )
        self._room_id = str(answer["channel"])
        thread = Thread(room=self._room_id, ts=str(answer["ts"]))
        details = slack_blocks.details(message.incident)
        if details:
            self._api().chat_postMessage(
                channel=thread.room,
                thread_ts=thread.ts,
                text="Evidence",
                blocks=details,
                metadata=self._metadata(message, root=False),
            )
        return thread

    def _reply(self, message: Message, thread: Thread) -> None:
        """What is new, in the thread; a page mentions whom it wakes, and shows in the channel too."""
        wakes = message.kind == "page" and message.mention
        text = f"<@{message.mention}> {message.text}" if wakes else message.text
        if text:
            self._api().chat_postMessage(
                channel=thread.room,
                thread_ts=thread.ts,
                text=text,
                metadata=self._metadata(message, root=False),
                reply_broadcast=bool(wakes),
            )

    def _find_root(self, incident_id: str) -> Thread | None:
        """This incident's message, if one was posted and a kill kept us from remembering."""
        room = self._id_of_room()
        if room is None:
            return None
        history = self._api().conversations_history(channel=room, limit=HISTORY, include_all_metadata=True)
        for post in history["messages"]:
            payload = _payload(post)
            if payload.get("incident") == incident_id and payload.get("root"):
                return Thread(room=room, ts=str(post["ts"]))
        return None

    def _is_in_thread(self, thread: Thread, key: str) -> bool:
        replies = self._api().conversations_replies(
            channel=thread.room, ts=thread.ts, limit=HISTORY * 2, include_all_metadata=True
        )
        posts: list[dict[str, Any]] = replies["messages"]
        # The root's metadata is the last edit's; only replies are things that a human was told.
        return any(_payload(post).get("key") == key and post["ts"] != thread.ts for post in posts)

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
    def _metadata(message: Message, *, root: bool) -> dict[str, Any]:
        payload = {"key": message.key, "incident": message.incident.id, "root": root}
        return {"event_type": EVENT_TYPE, "event_payload": payload}


def _payload(post: dict[str, Any]) -> dict[str, Any]:
    metadata = post.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == EVENT_TYPE else {}


def _delivery_error(error: SlackApiError) -> DeliveryError:
    response: Any = error.response
    reason = str(response.get("error", "unknown")) if hasattr(response, "get") else "unknown"
    if reason == "ratelimited" or getattr(response, "status_code", 0) == 429:
        wait = float(response.headers.get("Retry-After", 1))
        return DeliveryError(f"Slack asks to wait {wait:g} s", retry=True, retry_after_s=wait)
    if reason in HOPELESS:
        advice = "check the token, the app's scopes and that it is in the channel: `watchkeeper doctor`"
        return DeliveryError(f"Slack refused: {reason}; {advice}", retry=False)
    return DeliveryError(f"Slack failed: {reason}", retry=True)
