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
# Slack names the scopes of a token with every answer, separated by commas.
HEADER: Final = "X-OAuth-Scopes"
# What whoever installs the app is missing without a scope; docs/operating.md has what each is for.
WITHOUT: Final[Mapping[str, str]] = {
    "chat:write": "nobody is paged in Slack",
    "channels:history": "a page may be shown twice after a restart",
    "channels:read": "pages may be shown twice after a restart, if `slack.channel` is a name",
    "commands": "there is no `/watch`",
    "files:write": "incidents have no picture of the evidence; messages go out all the same",
    "users:read": "nobody learns that a person's `addresses.slack` is unknown or deactivated",
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


def scopes_asked() -> str:
    """The scopes of a token whose app was installed by the manifest, as `HEADER` has them."""
    return ",".join(manifest()["oauth_config"]["scopes"]["bot"])


def lacking(granted: str) -> tuple[str, ...]:
    """The scopes that a token lacks, by what Slack says of it in `HEADER`.

    In a private channel, those of groups stand for those of channels.

    >>> lacking("chat:write,groups:history,groups:read,commands,users:read")
    ('files:write',)
    """
    names = {name.strip().replace("groups:", "channels:") for name in granted.split(",")}
    return tuple(scope for scope in WITHOUT if scope not in names)
