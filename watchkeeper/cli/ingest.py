"""`watchkeeper ingest`: telemetry, alerts and change events in."""

from __future__ import annotations

import typer

from watchkeeper.cli.options import ConfigPath
from watchkeeper.roles.foresight import load_for

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper ingest --config watchkeeper.yaml")
def ingest(config: ConfigPath = None) -> None:
    """Receive OTLP (HTTP and gRPC), Alertmanager's webhook and change events, and scrape, until stopped."""
    from watchkeeper.roles.ingest import run

    run(load_for(config, "ingest"))
