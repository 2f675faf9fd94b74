"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="WATCHKEEPER_CONFIG", help="Configuration file (YAML). Default: built in."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
