"""`watchkeeper standin`: the local stand-in for Slack."""

from __future__ import annotations

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper standin --config watchkeeper.yaml")
def standin(config: ConfigPath = None) -> None:
    """Serve the local stand-in for Slack, until stopped."""
    from watchkeeper.roles.preflight import load_for
    from watchkeeper.roles.standin import run

    run(load_for(config, "standin"))
