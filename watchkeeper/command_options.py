"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="WATCHKEEPER_CONFIG", help="Configuration file (YAML). Default: built in."),
]
USUAL = Path("watchkeeper.yaml")


def user_name() -> str:
    """Who gives a command: the login name; `uid 54321` where this machine knows no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def hint_at_unused_file(config: Path | None) -> None:
    """Say so where the usual file lies here and is not read: its people would wait for pages that go to others."""
    if config is None and USUAL.exists():
        print(f"note: {USUAL} in this folder is not used; `--config {USUAL}` uses it", file=sys.stderr)


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
