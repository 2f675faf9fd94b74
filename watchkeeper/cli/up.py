"""`watchkeeper up`: every role in one terminal."""

from __future__ import annotations

import contextlib
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
    _notify(f"Checking the configuration ({config or 'no file: the defaults'})")  # the imports below take a second
    from alerting.oncall.preflight import rota_notes
    from watchkeeper.config import read
    from watchkeeper.roles.preflight import SUPERVISED, load_for
    from watchkeeper.roles.up import run

    tree = load_for(config)
    os.environ[SUPERVISED] = "1"  # its roles, started again at night, set aside what breaks from here on
    for note in rota_notes(read(config)):
        _notify(f"note: {note}")
    _notify(f"Data in {tree.data_dir}")
    run(tree, config.absolute() if config else None, notify=_notify)


def _notify(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed; the roles must still be stopped in order
        print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)
