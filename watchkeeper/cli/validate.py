"""`watchkeeper validate`: is this configuration file right?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.errors import ConfigError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper validate watchkeeper.yaml")
def validate(
    file: Annotated[Path | None, typer.Argument(help="The file to check; `--config` names it, too.")] = None,
    config: ConfigPath = None,
    environment: Annotated[
        bool,
        typer.Option(
            "--environment/--no-environment", help="Look at the environment variables and targets that it names."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check a configuration file and all that it names: objectives, runbooks, variables, folders, who is on call.

    Exit status 2 and one line per mistake (file, line, key) if something is wrong; nothing is changed.
    """
    from watchkeeper.config import read
    from watchkeeper.roles.preflight import mistakes, notes

    path = file or config
    if path is None:
        raise ConfigError("name the file: `watchkeeper validate watchkeeper.yaml`")
    read_file = read(path)
    if lines := mistakes(read_file, environment=environment):
        raise ConfigError("\n".join(lines))
    for note in notes(read_file, environment=environment):
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(read_file.config.model_dump(mode="json"), indent=2))
    else:
        print(f"{path}: valid")
