"""`watchkeeper up`: every role in one terminal."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import typer

from watchkeeper.command_options import ConfigPath, hint_at_unused_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper up --config watchkeeper.yaml")
def up(config: ConfigPath = None) -> None:
    """Start every role in this terminal: store, ingest, watch, web and, without a Slack token, the stand-in.

    A role that dies is started again, and the terminal says so. Ctrl-C stops everything in order.
    """
    hint_at_unused_file(config)
    from watchkeeper.roles.preflight import SUPERVISED, load_for
    from watchkeeper.roles.up import run

    tree = load_for(config)
    os.environ[SUPERVISED] = "1"  # its roles, started again at night, set aside what breaks from here on
    run(
        tree,
        config.absolute() if config else None,
        notify=lambda line: print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True),
    )
