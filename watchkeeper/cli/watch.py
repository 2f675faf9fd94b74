"""`watchkeeper watch`: detect, diagnose, page, act, learn."""

from __future__ import annotations

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper watch --config watchkeeper.yaml")
def watch(config: ConfigPath = None) -> None:
    """Detect, diagnose, page whoever is on call, run what they approve, and learn from their labels, until stopped."""
    from watchkeeper.roles.preflight import load_for, supervised
    from watchkeeper.roles.watch import run

    run(load_for(config, "watch", optional=not supervised()), config)
