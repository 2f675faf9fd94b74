"""`watchkeeper parts`: what this installation is made of, Watchkeeper's own parts and those of other packages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.errors import ConfigError
from watchkeeper.parts import GROUPS
from watchkeeper.text import one_line
from watchkeeper.text_columns import print_columns

if TYPE_CHECKING:
    from watchkeeper.roles.registered import ListedPart

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

HEADS = ("Kind", "Name", "Version", "From", "Used", "What")


@app.command(epilog="Example: watchkeeper parts --kind detector --json")
def parts(
    config: ConfigPath = None,
    kind: Annotated[str | None, typer.Option(help=f"Only one kind: {', '.join(GROUPS)}. Default: all.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with status 1 if a part cannot be loaded.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every registered part: detectors, evidence, channels and the rest, and whether the configuration uses it.

    A part that cannot be loaded is listed as broken, with the reason.
    """
    from dataclasses import asdict

    from watchkeeper.config import load
    from watchkeeper.roles.registered import listed_parts

    if kind not in (None, *GROUPS):
        raise ConfigError(f"--kind {kind}: must be one of {', '.join(GROUPS)}")
    listed = list(listed_parts(load(config), kind))
    if as_json:
        print(json.dumps([asdict(part) for part in listed], indent=2))
    elif listed:
        print_columns(HEADS, [_row(part) for part in listed])
    else:
        print("No part is registered.")
    if check and any(part.used == "broken" for part in listed):
        raise typer.Exit(1)


def _row(part: ListedPart) -> tuple[str, ...]:
    what = one_line("; ".join(text for text in (part.summary, part.reason) if text), 200)
    return (part.kind, part.name, part.version or "-", one_line(part.origin, 40), part.used, what)
