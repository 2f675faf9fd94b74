"""`watchkeeper agent`: run the agent of this host, check its file, write a first one."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson
from watchkeeper.errors import AgentError
from watchkeeper.text_columns import print_columns

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Examples: watchkeeper agent init · watchkeeper agent check --config agent.yaml · "
    "watchkeeper agent --config agent.yaml",
)

DEFAULT = Path("agent.yaml")
FilePath = Annotated[Path, typer.Option("--config", "-c", help="The agent's file.")]
HEADS = ("Service", "State", "Process", "Port", "May", "Can't now")


@app.callback(invoke_without_command=True)
def run(context: typer.Context, config: FilePath = DEFAULT) -> None:
    """Run the agent of this host: break and repair the services that its file lists, and nothing else."""
    if context.invoked_subcommand is None:
        _require(config)
        # A process of its own, without the libraries of this command: it runs for months.
        os.execv(sys.executable, [sys.executable, "-I", "-m", "agent", str(config.absolute())])  # noqa: S606


@app.command(epilog="Example: watchkeeper agent check --config agent.yaml --json")
def check(config: FilePath = DEFAULT, as_json: AsJson = False) -> None:
    """Print what the agent finds, and what it could do. Touches nothing, and needs no running agent."""
    from agent.preflight import look

    _require(config)
    seen = look(config)
    if as_json:
        print(json.dumps(seen.as_json(), indent=2))
        return
    print(f"{seen.name}: {seen.running}")
    if seen.services:
        print_columns(HEADS, [row.cells() for row in seen.services])
    else:
        print("The file lists no service, so nothing may be touched.")
    for line in seen.telemetry:
        print(f"telemetry: {line}")
    for note in seen.notes:
        print(f"note: {note}")


@app.command(epilog="Example: watchkeeper agent init --config /etc/watchkeeper/agent.yaml")
def init(config: FilePath = DEFAULT) -> None:
    """Write a commented file that allows nothing yet, and print its token once."""
    from agent.first_file import text

    token = "wk_" + secrets.token_urlsafe(32)
    written = text(hashlib.sha256(token.encode()).hexdigest())
    try:
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise AgentError(f"{config} exists already; move it away, or name another with --config") from error
    except OSError as error:
        raise AgentError(f"{config} cannot be written: {error.strerror or error}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(written)
    print(f"Wrote {config}. It lists no service yet, so the agent may touch nothing.\n")
    print(f"Token (shown once): {token}\n")
    print("1. List the services under `services:`; the file has an example of each way to find one.")
    print(f"2. watchkeeper agent check --config {config}")
    print(f"3. watchkeeper agent --config {config}")
    print("4. Where Watchkeeper runs, put the token into the environment, and name the agent under `targets:`:\n")
    print("targets:")
    print("  this-host: {kind: agent, url: http://127.0.0.1:9411, token_env: AGENT_TOKEN}")


def _require(config: Path) -> None:
    if not config.exists():
        raise AgentError(
            f"there is no file {config}; `watchkeeper agent init --config {config}` writes one, "
            "and --config names another"
        )
