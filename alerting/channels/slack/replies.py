"""What stands in a message's thread: parts that are posted once and edited, and which keys were posted.

Every post carries what it is as message metadata, so that a new process finds what an earlier one posted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from alerting.channels.channel import Thread
from alerting.channels.slack.refusals import GONE, reason_of
from watchkeeper.vocabulary import content_key

EVENT_TYPE: Final = "watchkeeper_incident"
HISTORY: Final = 100  # posts a page, as Slack recommends for histories
Posts = list[dict[str, Any]]
T = TypeVar("T")


class BestEffort(Protocol):
    """Calls what only helps: a failure is reported, and gives None."""

    def __call__(self, what: str, call: Callable[[], T], /) -> T | None: ...


class Replies:
    """The threads of a channel. `post` posts a message, `best_effort` wraps reads."""

    def __init__(self, api: Callable[[], WebClient], post: Callable[..., Any], best_effort: BestEffort) -> None:
        self._api = api
        self._post = post
        self._best_effort = best_effort
        self._shown: dict[tuple[str, str, str], tuple[str, str]] = {}

    def show(
        self, incident_id: str, thread: Thread, part: str, text: str, blocks: list[dict[str, Any]], **how: Any
    ) -> None:
        """One part of an incident's thread: posted once, and edited when it changes."""
        version = content_key(repr(blocks))
        place = (thread.conversation, thread.ts, part)
        shown = self._shown.get(place) or self._best_effort(
            "conversations.replies", lambda: self._find_part(thread, part)
        )
        content: dict[str, Any] = {
            "text": text,
            "blocks": blocks,
            "metadata": metadata(incident_id, f"{part}:{incident_id}", part, version),
        }
        if shown is not None and shown[1] != version:
            try:
                self._api().chat_update(channel=thread.conversation, ts=shown[0], **content)
            except SlackApiError as error:
                if reason_of(error) not in GONE:
                    raise
                shown = None  # somebody deleted it
        if shown is None:
            answer = self._post(thread.conversation, "", thread_ts=thread.ts, **content, **how)
            shown = str(answer["ts"]), version
        self._shown[place] = shown[0], version

    def keys(self, thread: Thread) -> set[str]:
        """The keys of what is in a thread already, as far as it can be read."""
        posts = self._best_effort("conversations.replies", lambda: self._read(thread))
        return {str(payload(post).get("first")) for post in posts or ()}

    def _find_part(self, thread: Thread, part: str) -> tuple[str, str] | None:
        """The reply with a part that an earlier process posted, and what it stands for."""
        for post in self._read(thread):
            if payload(post).get("part") == part:
                return str(post["ts"]), str(payload(post).get("first"))
        return None

    def _read(self, thread: Thread) -> Posts:
        """The message and everything in its thread, oldest first."""
        pages = self._api().conversations_replies(
            channel=thread.conversation, ts=thread.ts, limit=HISTORY, include_all_metadata=True
        )
        return [post for page in pages for post in page["messages"]]


def metadata(incident_id: str, key: str, part: str, first: str) -> dict[str, Any]:
    """What a post is known by: its part (root, details, line), its key, and what its content stands for."""
    content = {"key": key, "incident": incident_id, "part": part, "first": first}
    return {"event_type": EVENT_TYPE, "event_payload": content}


def payload(post: dict[str, Any]) -> dict[str, Any]:
    """What `metadata` put there; empty for a post of somebody else's."""
    known = post.get("metadata") or {}
    return known.get("event_payload") or {} if known.get("event_type") == EVENT_TYPE else {}
