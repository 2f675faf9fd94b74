"""`watchkeeper ingest`: the ingest role, and the commands about what it could not store."""

from __future__ import annotations

import typer

from collectors.commands.refused import app as refused
from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.add_typer(refused, name="refused")


@app.callback(invoke_without_command=True, epilog="Example: watchkeeper ingest --config watchkeeper.yaml")
def ingest(context: typer.Context, config: ConfigPath = None) -> None:
    """Receive OTLP (HTTP and gRPC), Alertmanager's webhook and change events, and scrape, until stopped."""
    context.obj = config
    if context.invoked_subcommand is None:
        from watchkeeper.roles.ingest import run
        from watchkeeper.roles.preflight import load_for

        run(load_for(config, "ingest"))
