"""`watchkeeper ingest refused`: list, show, retry and drop the telemetry that the store rejected."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import ConfigPath

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What the store could not take: list, show, retry, drop."
)

Names = Annotated[list[str] | None, typer.Argument(help="Names as `list` prints them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog="Example: watchkeeper ingest refused list --json")
def list_refused(context: typer.Context, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List quarantined telemetry, oldest first: when, how much, whose, and why."""
    from collectors.ingest_log.quarantine import listed

    found = listed(_folder(context, config))
    if as_json:
        print(json.dumps([asdict(each) | {"refused_at": _iso(each.refused_at)} for each in found], indent=1))
        return
    if not found:
        print("Nothing is in quarantine.")
    for each in found:
        print(f"{each.name}  {_iso(each.refused_at)}  {each.requests} request(s), {each.size} bytes")
        print(f"  {each.subject}")
        print(f"  {each.reason}")


@app.command(epilog="Example: watchkeeper ingest refused show NAME")
def show(context: typer.Context, name: str, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show one quarantined segment, and the start of each request in it in hex."""
    from collectors.ingest_log.quarantine import read_requests

    note, requests = read_requests(_folder(context, config), name)
    if as_json:
        tree = asdict(note) | {"refused_at": _iso(note.refused_at), "bytes": [request.hex() for request in requests]}
        print(json.dumps(tree, indent=1))
        return
    print(f"name      {note.name}")
    print(f"since     {_iso(note.refused_at)}")
    print(f"whose     {note.subject}")
    print(f"reason    {note.reason}" + (f" (code {note.code})" if note.code else ""))
    for request in requests:
        print(f"request   {len(request)} bytes: {request[:64].hex()}{'…' if len(request) > 64 else ''}")


@app.command(epilog="Example: watchkeeper ingest refused retry --all")
def retry(
    context: typer.Context,
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything in quarantine.")] = False,
    config: ConfigPath = None,
) -> None:
    """Load quarantined telemetry again: at once if the ingest role runs, else at its next start."""
    from collectors.ingest_log import quarantine

    folder = _folder(context, config)
    chosen = _chosen(folder, names, everything=everything)
    for name in chosen:
        quarantine.retry(folder, name)
    print(f"{len(chosen)} segment(s) will be loaded again." if chosen else "Nothing is in quarantine.")


@app.command(epilog="Example: watchkeeper ingest refused drop NAME --yes")
def drop(
    context: typer.Context,
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything in quarantine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = None,
) -> None:
    """Delete quarantined telemetry for good."""
    from collectors.ingest_log import quarantine

    folder = _folder(context, config)
    chosen = _chosen(folder, names, everything=everything)
    if chosen and not yes:
        typer.confirm(f"Delete {len(chosen)} segment(s) for good?", abort=True)
    for name in chosen:
        quarantine.drop(folder, name)
    print(f"{len(chosen)} segment(s) deleted.")


def _folder(context: typer.Context, config: Path | None) -> Path:
    from watchkeeper.config import load

    return load(config or context.obj).ingest_log_dir


def _chosen(folder: Path, names: list[str] | None, *, everything: bool) -> list[str]:
    from collectors.ingest_log.quarantine import listed

    if everything == bool(names):
        raise typer.BadParameter("give either names or --all.")
    return [each.name for each in listed(folder)] if everything else list(names or [])


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
