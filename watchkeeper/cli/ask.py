"""`watchkeeper ask`: a question in plain words, answered from read-only queries."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath, hint_at_unused_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
NOT_UNDERSTOOD = 4


@app.command(epilog='Example: watchkeeper ask "why is checkout slow?"')
def ask(
    question: Annotated[list[str], typer.Argument(help="The question; quote it, or write its words one by one.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
    queries: Annotated[bool, typer.Option("--queries/--no-queries", help="Whether to print what was read.")] = True,
) -> None:
    """Answer a question about this system: why, what changed, who, what depends on it, its budget, last time, open.

    Nothing is changed, and no language model is asked. Exit status 4 if the question is not understood.
    """
    from alerting.ask.answer import as_json as tree_of
    from alerting.incidents.commands import Incidents
    from alerting.oncall.in_force import open_in_force
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.roles.asking import asker_of
    from watchkeeper.store.telemetry import Telemetry
    from watchkeeper.text import page_text, prose

    hint_at_unused_file(config)
    tree = load(config)
    db, clock = open_in_force(tree), SystemClock()
    incidents = Incidents.configured(tree, db, clock)
    answer = asker_of(tree, Telemetry.connect(tree), db, incidents, clock).ask(" ".join(question))
    if as_json:
        print(json.dumps(tree_of(answer), indent=2))
    else:
        print(prose(answer.heading, 1000))
        for line in answer.lines:
            print(f"  {prose(line, 1000)}")
        for note in answer.notes:
            print(f"note: {prose(note, 1000)}")
        for suggestion in answer.suggestions:
            print(f"  watchkeeper ask '{prose(suggestion)}'")
        if queries and answer.intent:
            print("\nRead for this answer:")
            for read in answer.reads:
                given = ", ".join(f"{name}={value}" for name, value in read.parameters.items())
                print(f"  {page_text(read.text)}" + (f"\n    with {prose(given)}" if given else ""))
    if answer.intent is None:
        raise typer.Exit(NOT_UNDERSTOOD)
