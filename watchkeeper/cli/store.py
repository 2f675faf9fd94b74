"""`watchkeeper store`: the embedded telemetry store."""

from __future__ import annotations

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper store --config watchkeeper.yaml")
def store(config: ConfigPath = None) -> None:
    """Serve the embedded telemetry store on loopback, with ClickHouse's HTTP interface, until stopped."""
    from watchkeeper.roles.preflight import load_for
    from watchkeeper.roles.store import run

    run(load_for(config, "store"))
