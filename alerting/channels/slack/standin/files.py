"""Files as Slack takes them since 2024: an address for the bytes, the bytes, and the share that shows them.

Source: Slack's reference of files.getUploadURLExternal and files.completeUploadExternal (docs.slack.dev). What is not
completed is forgotten, an address takes bytes once, and a file is completed once.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alerting.channels.slack.standin.rules import RuleError
from alerting.channels.slack.standin.workspace import Workspace
from watchkeeper.asgi.plain import plain_json

ALT_TEXT: Final = 1000  # characters
TITLE: Final = 255
_ID: Final = re.compile(r"F[0-9A-F]{10}")


@dataclass(kw_only=True)
class _Upload:
    """A file that is on its way."""

    id: str
    name: str
    length: int
    alt_text: str
    content: bytes | None = None


class Files:
    """The files of a workspace: on their way in memory, those that were shared on disk."""

    def __init__(self, folder: Path, workspace: Workspace, own_url: str) -> None:
        """`own_url` is the stand-in's own address, where the bytes go."""
        self._folder = folder
        self._workspace = workspace
        self._own_url = own_url
        self._by_ticket: dict[str, _Upload] = {}
        self._by_id: dict[str, _Upload] = {}

    def upload_url(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """files.getUploadURLExternal.

        Raises:
            RuleError: an argument is missing or wrong.
        """
        name, length = str(arguments.get("filename") or ""), _whole(arguments.get("length"))
        if not name or length <= 0:
            raise RuleError("invalid_arguments", "filename and length are required")
        alt_text = str(arguments.get("alt_txt") or "")
        if len(alt_text) > ALT_TEXT:
            raise RuleError("alt_txt_too_large")
        upload = _Upload(id=f"F{secrets.token_hex(5).upper()}", name=name, length=length, alt_text=alt_text)
        ticket = secrets.token_urlsafe(16)
        self._by_ticket[ticket] = self._by_id[upload.id] = upload
        return {"upload_url": f"{self._own_url}upload/v1/{ticket}", "file_id": upload.id}

    def receive(self, ticket: str, content: bytes) -> None:
        """The bytes of a file, at the address that was given for it.

        Raises:
            RuleError: no such address, or it was used; or the length is not what was announced.
        """
        upload = self._by_ticket.pop(ticket, None)
        if upload is None:
            raise RuleError("unknown or used upload URL")
        if len(content) != upload.length:
            self._by_id.pop(upload.id, None)
            raise RuleError("length mismatch")
        upload.content = content

    def complete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """files.completeUploadExternal: share what was uploaded; without a channel it stays private.

        Raises:
            RuleError: a file is unknown, not uploaded or completed already; the channel or thread is not there.
        """
        given = arguments.get("files")
        given = plain_json(given) if isinstance(given, str) else given
        if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
            raise RuleError("invalid_arguments", "files must be a list of objects")
        uploads = [self._by_id.get(str(one.get("id"))) for one in given]
        if any(upload is None or upload.content is None for upload in uploads):
            raise RuleError("file_not_found")
        channel = self._channel(str(arguments["channel_id"])) if arguments.get("channel_id") else None
        files = []
        for upload, one in zip(filter(None, uploads), given, strict=True):
            title = str(one.get("title") or upload.name)
            if len(title) > TITLE:
                raise RuleError("invalid_arguments", "a title is too long")
            shown = {"id": upload.id, "name": upload.name, "title": title, "alt_txt": upload.alt_text}
            files.append(shown | {"mimetype": "image/png", "size": upload.length})
        if channel is not None:
            content = {"text": str(arguments.get("initial_comment") or ""), "files": files, "upload": True}
            self._workspace.post(channel, content, str(arguments.get("thread_ts") or "") or None)
        self._folder.mkdir(parents=True, exist_ok=True)
        for upload in filter(None, uploads):
            (self._folder / upload.id).write_bytes(upload.content or b"")
            del self._by_id[upload.id]
        return {"files": [{"id": one["id"], "title": one["title"]} for one in files]}

    def content(self, file_id: str) -> bytes | None:
        """The bytes of a file that was completed."""
        path = self._folder / file_id
        return path.read_bytes() if _ID.fullmatch(file_id) and path.is_file() else None

    def _channel(self, channel_id: str) -> str:
        """Here a name is no channel, other than for messages, and the app must be in it."""
        if channel_id not in (self._workspace.channel["id"], *self._workspace.direct.values()):
            raise RuleError("channel_not_found")
        if channel_id == self._workspace.channel["id"] and not self._workspace.channel["is_member"]:
            raise RuleError("not_in_channel")
        return channel_id


def _whole(value: Any) -> int:
    """A number of bytes; 0 for anything else."""
    return int(value) if isinstance(value, int | str) and str(value).isascii() and str(value).isdigit() else 0
