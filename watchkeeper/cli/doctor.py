"""`watchkeeper doctor`: is everything there that a night on call needs?"""

from __future__ import annotations

import dataclasses
import json

import typer

from watchkeeper.command_options import AsJson, ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


@app.command(epilog="Example: watchkeeper doctor --config watchkeeper.yaml")
def doctor(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Check ports, disk, clock, store, state and Slack, and suggest what to do. Exit status 1 on a problem."""
    from watchkeeper.config import load
    from watchkeeper.roles.doctor import examine

    results = examine(load(config))
    if as_json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    else:
        width = max(len(result.check) for result in results)
        for result in results:
            print(f"{MARKS[result.status]} {result.check:<{width}}  {result.seen}")
            if result.advice:
                print(f"  {'':<{width}}  → {result.advice}")
    if any(result.status == "problem" for result in results):
        raise typer.Exit(1)
