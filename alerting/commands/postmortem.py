"""`watchkeeper postmortem`: what happened, with everything filled in that the machine knows."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from alerting.postmortems import postmortem
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.config import load
from watchkeeper.state.database import Database

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

IncidentId = Annotated[str, typer.Argument(help="The incident's id, such as inc-7f3a01.")]


@app.command(epilog="Example: watchkeeper postmortem new inc-7f3a01 > postmortem.md")
def new(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Draft a postmortem anew from what is known now. Resolving an incident drafts one too."""
    _print(postmortem.draft(Database.open(load(config)), incident, SystemClock().now()), as_json)


@app.command(epilog="Example: watchkeeper postmortem show inc-7f3a01")
def show(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The draft that was written last. Exit status 3 if there is none."""
    _print(postmortem.show(Database.open(load(config)), incident), as_json)


def _print(written: postmortem.Postmortem, as_json: bool) -> None:
    if not as_json:
        print(written.markdown, end="")
        return
    label = written.label
    form = {
        "cause": label.cause if label else None,
        "mechanism": label.mechanism if label else None,
        "warranted": label.warranted if label else None,
        "author": label.author if label else None,
        "note": label.note if label else None,
    }
    facts = {"incident": written.incident_id, "at": written.at.isoformat(), "label": form}
    print(json.dumps(facts | {"markdown": written.markdown}, indent=2))
