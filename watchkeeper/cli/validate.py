"""`watchkeeper validate`: is this configuration file right?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.cli.options import AsJson
from watchkeeper.config import load

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper validate watchkeeper.yaml")
def validate(
    config: Annotated[Path, typer.Argument(help="The file to check.")],
    as_json: AsJson = False,
) -> None:
    """Check a configuration file. Exit status 2 and one line per mistake (file, line, key) if it is wrong."""
    tree = load(config)
    if as_json:
        print(json.dumps(tree.model_dump(mode="json"), indent=2))
    else:
        print(f"{config}: valid")
