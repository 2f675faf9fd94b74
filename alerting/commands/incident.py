"""`watchkeeper incident`: the same commands as in Slack and on the dashboard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alerting.commands import incident_list
from alerting.incidents.quick_read import Tree
from watchkeeper.command_options import AsJson, ConfigPath, IncidentId, Key, Who, actor_of, key_of
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.text import prose, seen_name
from watchkeeper.vocabulary import MECHANISMS, Mechanism, Proposal

if TYPE_CHECKING:  # what opens the database is imported when a command runs, so that help comes at once
    from alerting.incidents.commands import Incidents
    from alerting.incidents.human_labels import Judgement
    from alerting.incidents.machine import Incident, Outcome

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Seen = Annotated[
    str | None,
    typer.Option(
        "--proposal", help="The id of the proposal that you looked at, as `show` prints it. Default: shown, and asked."
    ),
]
Cause = Annotated[str | None, typer.Option("--cause", help="The service at fault; `none` if there was none.")]
Warranted = Annotated[bool | None, typer.Option("--warranted/--unwarranted", help="Was the page warranted?")]
Unsure = Annotated[bool, typer.Option("--unsure", help="Not sure whether the page was warranted.")]
How = Annotated[str | None, typer.Option("--mechanism", help=f"How it hurt: {', '.join(MECHANISMS)}.")]
Note = Annotated[str, typer.Option("--note", help="A line for whoever reads this later.")]


@app.command("list", epilog="Example: watchkeeper incident list --state open --json")
def list_incidents(
    config: ConfigPath = None,
    state: Annotated[str | None, typer.Option(help=f"One of {', '.join(incident_list.STATES)}. Default: all.")] = None,
    severity: Annotated[
        str | None, typer.Option(help="`page`, `ticket`, or a level such as `SEV1`. Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=incident_list.MOST, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Incidents, newest first."""
    incident_list.show(config, state, limit, severity=severity, as_json=as_json)


@app.command(epilog="Example: watchkeeper incident ack inc-7f3a01")
def ack(
    incident: IncidentId, config: ConfigPath = None, who: Who = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Take an incident: nobody else is paged. Exit status 4 if somebody else was first."""
    actor = actor_of(who)
    print_outcome(open_incidents(config).acknowledge(incident, actor, key_of(key)), as_json)


@app.command(epilog="Example: watchkeeper incident resolve inc-7f3a01 --cause payments --warranted")
def resolve(
    incident: IncidentId,
    config: ConfigPath = None,
    who: Who = None,
    cause: Cause = None,
    warranted: Warranted = None,
    unsure: Unsure = False,
    mechanism: How = None,
    note: Note = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End an incident, with your judgement if you have one. Exit status 4 if somebody else was first."""
    judgement = _judgement(cause, warranted, unsure, mechanism, note)
    print_outcome(open_incidents(config).resolve(incident, actor_of(who), key_of(key), judgement), as_json)


@app.command(epilog="Example: watchkeeper incident label inc-7f3a01 --cause payments --mechanism latency --warranted")
def label(
    incident: IncidentId,
    config: ConfigPath = None,
    who: Who = None,
    cause: Cause = None,
    warranted: Warranted = None,
    unsure: Unsure = False,
    mechanism: How = None,
    note: Note = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Record the cause, and whether the page was warranted. Detectors learn from this.

    It replaces your earlier label of the same incident. Exit status 4 if nothing changes.
    """
    judgement = _judgement(cause, warranted, unsure, mechanism, note)
    if judgement is None:
        raise ConfigError("give at least one of --cause, --warranted, --unwarranted or --unsure, --mechanism, --note")
    print_outcome(open_incidents(config).judge(incident, actor_of(who), key_of(key), judgement), as_json)


@app.command(epilog="Example: watchkeeper incident approve inc-7f3a01 --proposal 5d2f0c9be41a7730")
def approve(
    incident: IncidentId,
    config: ConfigPath = None,
    proposal: Seen = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Let the proposed runbook run; `show` tells what it would do. Exit status 4 if there is nothing to approve."""
    incidents = open_incidents(config)
    seen = proposal or _shown(incidents.get(incident), "Run this?")
    print_outcome(incidents.approve(incident, actor_of(who), key_of(key), seen), as_json)


@app.command(epilog="Example: watchkeeper incident decline inc-7f3a01 --proposal 5d2f0c9be41a7730")
def decline(
    incident: IncidentId,
    config: ConfigPath = None,
    proposal: Seen = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Don't run the proposed runbook. Exit status 4 if there is nothing to decline."""
    incidents = open_incidents(config)
    seen = proposal or _shown(incidents.get(incident), "Decline this?")
    print_outcome(incidents.decline(incident, actor_of(who), key_of(key), seen), as_json)


@app.command(epilog='Example: watchkeeper incident note inc-7f3a01 "called the bank: they see it too"')
def note(
    incident: IncidentId,
    text: Annotated[str, typer.Argument(help="What to write into the timeline.")],
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Add a line to the timeline, and to the postmortem."""
    if not text.strip():
        raise ConfigError("the note is empty")
    print_outcome(open_incidents(config).note(incident, actor_of(who), text, key_of(key)), as_json)


def print_proposal(proposal: Proposal) -> None:
    """The steps of a runbook, what it touches, and what stands against it."""
    for step in proposal.steps:
        print(f"  - {prose(step)}")
    print(f"  acts on: {seen_name(proposal.service)}")
    print(f"  blast radius: {prose(proposal.blast_radius)}; undo: {prose(proposal.undo)}")
    if proposal.proof:
        print(f"  proof: {prose(proposal.proof)}")
    if proposal.approvals > 1 or proposal.approvers:
        who = f" of {', '.join(map(seen_name, proposal.approvers))}" if proposal.approvers else ""
        print(f"  needs {proposal.approvals} approval{'s'[: proposal.approvals != 1]}{who}")
    if proposal.blocked:
        print(f"  cannot be run from here: {prose(proposal.blocked)}")


def _shown(incident: Incident, question: str) -> str:
    """The id of the current proposal, after whoever sits at the terminal has looked at it."""
    proposal = incident.proposal
    if proposal is None or incident.proposal_state != "proposed" or proposal.blocked:
        return proposal.id if proposal else ""  # refused in words anyway
    if not sys.stdin.isatty():
        raise ConfigError(
            f"--proposal is missing: `watchkeeper incident show {incident.id}` tells what would run, and its id"
        )
    print(prose(proposal.title))
    print_proposal(proposal)
    typer.confirm(question, abort=True)
    return proposal.id


def open_incidents(config_path: Path | None) -> Incidents:
    """The incidents of the state database that a configuration names."""
    from alerting.incidents.commands import Incidents
    from alerting.oncall.in_force import open_in_force
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load

    config = load(config_path)
    db = open_in_force(config)
    return Incidents.configured(config, db, SystemClock())


def _judgement(
    cause: str | None, warranted: bool | None, unsure: bool, mechanism: str | None, note: str
) -> Judgement | None:
    """The judgement that the options give; None if they give none."""
    if mechanism is not None and mechanism not in MECHANISMS:
        raise ConfigError(f"--mechanism {mechanism}: must be one of {', '.join(MECHANISMS)}")
    if unsure and warranted is not None:
        raise ConfigError("give only one of --warranted, --unwarranted and --unsure")
    if not (cause or warranted is not None or unsure or mechanism or note.strip()):
        return None
    from alerting.incidents.human_labels import Judgement

    known: dict[str, Mechanism] = {name: name for name in MECHANISMS}
    return Judgement(
        warranted=warranted,
        cause=None if cause == "none" else cause,
        mechanism=known[mechanism] if mechanism else None,
        note=note,
    )


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """Print what a command changed. A refusal is exit status 4, so that a script notices."""
    if as_json:
        facts = {"changed": outcome.changed, "message": outcome.message, "incident": _facts(outcome.incident)}
        print(json.dumps(facts, indent=2))
    else:
        print(f"{outcome.incident.id}: {prose(outcome.message, 2400)}")
    if not outcome.changed:
        raise typer.Exit(Conflict.exit_code)


def human(incident: Incident) -> str:
    """How far a human is with it, in words."""
    return incident_list.human(_tree(incident))


def _facts(incident: Incident) -> dict[str, object]:
    """What a script needs of an incident; `show --json` has all of it."""
    return incident_list.facts(_tree(incident))


def _tree(incident: Incident) -> Tree:
    from watchkeeper.state.codec import dump

    tree: Tree = json.loads(dump(incident))
    return tree
