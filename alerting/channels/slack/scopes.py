"""What the Slack app may do: the scope that each method needs, and the manifest that asks for it.

Source: Slack's reference of the Web API, "Required scopes" of each method (docs.slack.dev).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from watchkeeper.yaml_file import read_documents

MANIFEST: Final = Path(__file__).with_name("manifest.yaml")
# None: any token may call it.
SCOPE_OF: Final[Mapping[str, str | None]] = {
    "auth.test": None,
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.postEphemeral": "chat:write",
    "conversations.list": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "users.info": "users:read",
    "views.open": None,
    "views.publish": None,
}


@cache
def manifest() -> Mapping[str, Any]:
    """The manifest, as it is in the package."""
    (document,) = read_documents(MANIFEST)
    tree: Mapping[str, Any] = document.data
    return tree


def missing_scope(method: str) -> str | None:
    """The scope without which Slack refuses a method, where the manifest does not ask for it."""
    scope = SCOPE_OF.get(method)
    return scope if scope and scope not in manifest()["oauth_config"]["scopes"]["bot"] else None
