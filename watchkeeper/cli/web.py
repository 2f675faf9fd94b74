"""`watchkeeper web`: the dashboard, the API and Slack's endpoint."""

from __future__ import annotations

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper web --config watchkeeper.yaml")
def web(config: ConfigPath = None) -> None:
    """Serve the dashboard, the API and Slack's endpoint, until stopped."""
    from watchkeeper.roles.preflight import load_for
    from watchkeeper.roles.web import run

    run(load_for(config, "web"), config)
