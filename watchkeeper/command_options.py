"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

if TYPE_CHECKING:  # imported when a command runs, so that help comes at once
    from watchkeeper.vocabulary import Actor

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="WATCHKEEPER_CONFIG", help="Configuration file (YAML). Default: built in."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
IncidentId = Annotated[str, typer.Argument(help="The incident's id, such as inc-7f3a01.")]
Who = Annotated[str | None, typer.Option("--as", help="Your name. Default: the user of this terminal.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: the same key again changes nothing. Default: a new one.")
]
USUAL = Path("watchkeeper.yaml")


def user_name() -> str:
    """Who gives a command: the login name; `uid 54321` where this machine knows no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def actor_of(name: str | None = None) -> Actor:
    """Who gives a command at this terminal; by default its user."""
    from watchkeeper.vocabulary import Actor

    return Actor(name=name or user_name(), via="cli")


def key_of(key: str | None) -> str:
    """The idempotency key of a command; by default a new one."""
    return f"cli:{key or uuid4().hex}"


def hint_at_unused_file(config: Path | None) -> None:
    """Say so where the usual file lies here and is not read: its people would wait for pages that go to others."""
    if config is None and USUAL.exists():
        print(f"note: {USUAL} in this folder is not used; `--config {USUAL}` uses it", file=sys.stderr)
