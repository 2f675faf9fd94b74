"""`watchkeeper backup`: a copy of the state database, while everybody works on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper backup --to /mnt/backups/watchkeeper-state.db")
def backup(
    config: ConfigPath = None,
    to: Annotated[Path | None, typer.Option(help="The file to write. Default: beside the daily copies.")] = None,
) -> None:
    """Copy the state database (incidents, timers, labels, models; no telemetry, no secrets) while the roles run.

    The watch role makes such a copy every day in data_dir/backups and keeps seven. PostgreSQL has its own means.
    """
    from watchkeeper.config import load
    from watchkeeper.state.backup import back_up

    print(back_up(load(config), to.absolute() if to else None))
