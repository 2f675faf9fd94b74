"""A picture in a message's thread, as Slack takes files: ask for an address, send the bytes there, and share the file.

An upload that was shared cannot be shared again, so a repeat looks in the thread for the file's name first.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from slack_sdk import WebClient

from alerting.channels.channel import Picture, Thread
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.replies import HISTORY
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError
from watchkeeper.text import one_line, prose

# Four calls must end within the lease of a message.
TIMEOUT_S: Final = 4
ALT_TEXT: Final = 1000  # characters, as Slack has it (files.getUploadURLExternal)


def upload(config: Config, picture: Picture, thread: Thread, *, maybe_there: bool) -> Thread:
    """Show a picture in a thread; where it is there already, nothing happens.

    Raises:
        DeliveryError: Slack's storage refused the bytes, or did not answer.
        SlackClientError, OSError: Slack refused a call, or did not answer.
    """
    client = WebClient(
        token=config.slack_token(), base_url=config.slack_api_url(), timeout=TIMEOUT_S, retry_handlers=[]
    )
    if maybe_there and _is_there(client, picture, thread):
        return thread
    words = prose(picture.words, ALT_TEXT)
    place = client.files_getUploadURLExternal(filename=picture.name, length=len(picture.png), alt_txt=words)
    _send(str(place["upload_url"]), picture.png, encrypted=config.slack_is_real)
    client.files_completeUploadExternal(
        files=[{"id": str(place["file_id"]), "title": one_line(picture.title, 200)}],
        channel_id=thread.conversation,
        thread_ts=thread.ts,
        initial_comment=slack_text(words),
    )
    return thread


def _is_there(client: WebClient, picture: Picture, thread: Thread) -> bool:
    """Whether a file of that name stands in the thread."""
    pages: Any = client.conversations_replies(channel=thread.conversation, ts=thread.ts, limit=HISTORY)
    posts = (post for page in pages for post in page["messages"])
    return any(file.get("name") == picture.name for post in posts for file in post.get("files") or ())


def _send(url: str, png: bytes, *, encrypted: bool) -> None:
    """The bytes, to the address that Slack gave; without the token, which it needs not."""
    if encrypted and urlsplit(url).scheme != "https":
        raise DeliveryError("Slack gave an address for the picture that is not encrypted", retry=False, unsent=True)
    try:
        answer = httpx.post(url, content=png, headers={"Content-Type": "image/png"}, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        why = one_line(error, 150) if str(error) else type(error).__name__
        raise DeliveryError(f"Slack's storage did not take the picture: {why}", retry=True, unsent=True) from error
    if answer.status_code != httpx.codes.OK:
        raise DeliveryError(f"Slack's storage answered {answer.status_code}", retry=True, unsent=True)
