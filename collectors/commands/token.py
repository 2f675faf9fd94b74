"""`watchkeeper token`: a credential for a writer."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

SCOPES = ("ingest", "changes", "commands", "heartbeats", "rota")


@app.command(epilog="Example: watchkeeper token new --name ci --scope changes")
def new(
    scope: Annotated[
        list[str], typer.Option("--scope", help="ingest, changes, commands, heartbeats or rota; may be repeated.")
    ],
    name: Annotated[str, typer.Option("--name", help="Who will use it.")] = "writer",
) -> None:
    """Make a token: printed once, and only its SHA-256 goes into the configuration."""
    for one in scope:
        if one not in SCOPES:
            raise typer.BadParameter(f"{one!r} is no scope; choose from {', '.join(SCOPES)}.")
    token = "wk_" + secrets.token_urlsafe(32)
    print(f"Token (shown once): {token}\n")
    print("Add to the configuration file:\n")
    print("tokens:")
    print(f"  - name: {name}")
    print(f"    sha256: {hashlib.sha256(token.encode()).hexdigest()}")
    print(f"    scopes: [{', '.join(scope)}]")


@app.command(epilog='Example: curl -H "Authorization: Bearer $(watchkeeper token local)" …')
def local(config: ConfigPath = None) -> None:
    """Print this installation's own token, which may do everything; keep it to yourself."""
    from watchkeeper.config import load

    print(load(config).secret("commands"))
