"""`watchkeeper restore`: a copy back in the state database's place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper restore watchkeeper-data/backups/state-20260301T030000Z.db")
def restore(
    backup: Annotated[Path, typer.Argument(help="A copy that `watchkeeper backup` or the watch role made.")],
    config: ConfigPath = None,
) -> None:
    """Put a copy of the state database in its place, with every role stopped. What was there is kept beside it."""
    from watchkeeper.config import load
    from watchkeeper.state.backup import restore as put_back

    aside = put_back(load(config), backup.absolute())
    print(f"{backup} is the state database now." + (f" The one before is kept as {aside}." if aside else ""))
