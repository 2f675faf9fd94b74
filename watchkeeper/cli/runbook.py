"""`watchkeeper runbook`: the commands of runbooks, and `run`, which needs to know who is on call."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import uuid4

import typer

from runbooks.commands.runbook import (
    BookId,
    Change,
    MechanismOption,
    RunId,
    Service,
    app,
    book_of,
    load_library,
    print_plan,
    print_run,
    proposal_for,
)
from watchkeeper.command_options import ConfigPath, Who, actor_of
from watchkeeper.errors import ConfigError, Conflict, RunbookError

if TYPE_CHECKING:
    from runbooks.run_rows import Run
    from runbooks.runner import Runner
    from watchkeeper.state.database import Database

LOOK_EVERY_S: Final = 0.3


@app.command(epilog="Example: watchkeeper runbook run restart-service payments --config watchkeeper.yaml")
def run(
    runbook: BookId,
    service: Service,
    config: ConfigPath = None,
    mechanism: MechanismOption = "",
    change: Change = "",
    who: Who = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it runs.")] = False,
) -> None:
    """Run a runbook outside an incident. Whoever runs it approves it, and stands in the audit trail.

    If this command is killed, the watch role goes on with the run. Exit status 1 if the run fails.
    """
    from alerting.incidents.commands import Incidents
    from alerting.oncall.approvers import why_not_approver
    from alerting.oncall.in_force import open_in_force
    from runbooks.feasible import COMMAND_TIMEOUT_S, weighed
    from runbooks.run_queue import RunQueue
    from runbooks.runner import Runner
    from runbooks.surroundings import surroundings
    from runbooks.wording import undo_sentences
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.roles.objectives import burn_rates
    from watchkeeper.state.audit import record_audit
    from watchkeeper.state.runs import add_run
    from watchkeeper.state.stops import stopped
    from watchkeeper.store.telemetry import Telemetry
    from watchkeeper.target import configured_target

    settings, library, clock = load(config), load_library(config), SystemClock()
    book = book_of(library, runbook)
    proposal = proposal_for(book, service, mechanism, change)
    with closing(configured_target(settings)) as target, closing(open_in_force(settings)) as db:
        seen = weighed(proposal, library, target, timeout_s=COMMAND_TIMEOUT_S)
        if seen is None:
            raise RunbookError(
                f"no target is configured, or it has no service {service}: see `targets` in the configuration"
            )
        if seen.blocked:
            raise RunbookError(seen.blocked)
        actor = actor_of(who)
        rule = library.policy.rule_for(runbook)
        approvers = (*rule.people, *rule.schedules)
        if rule.count > 1:
            raise RunbookError(
                f"{runbook} needs {rule.count} people's approval (policy.yaml): it runs from an incident only"
            )
        if stop := stopped(db):
            raise RunbookError(
                f"everything is stopped by {stop.actor} ({stop.reason}): `watchkeeper runbook resume` ends that"
            )
        if why_not := why_not_approver(db, settings.oncall, approvers, actor, clock.now()):
            raise RunbookError(why_not)
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigError(
                    "--yes is missing: nobody can be asked here. `watchkeeper runbook plan` shows the steps"
                )
            print_plan(proposal, undo_sentences(book.program, service, proposal.arguments))
            typer.confirm("Run this?", abort=True)
        run_id = f"run-{uuid4().hex[:10]}"
        with db.write() as connection:
            add_run(connection, run_id, "", proposal, clock.now(), approved_by=actor.name)
            record_audit(connection, clock.now(), actor, "runbook.run", run_id, f"{proposal.title}: {proposal.program}")
        telemetry = Telemetry.connect(settings)
        burn = burn_rates(settings, telemetry)
        around = surroundings(library.policy, telemetry, lambda text, _key: print(f"  {text}"), burn)
        worker = Runner(RunQueue(db), target, library, Incidents.configured(settings, db, clock), around=around)
        print(f"{run_id}: {proposal.title}")
        ended = _follow(db, worker, run_id)
        print_run(ended)
        if ended.state != "done":
            raise RunbookError(f"the run {ended.state}: {ended.text}")


@app.command(epilog="Examples: watchkeeper runbook validate    watchkeeper runbook validate ./runbooks")
def validate(
    folder: Annotated[Path | None, typer.Argument(help="The folder. Default: `runbooks.dir` of --config.")] = None,
    config: ConfigPath = None,
) -> None:
    """Check every runbook of a folder, its policy and its playbooks. Exit status 2 and a line for each mistake.

    The objectives that runbooks wait for must be configured; a folder without --config is checked without them.
    """
    from runbooks.library import load_runbooks
    from runbooks.objectives import objective_mistakes
    from runbooks.playbook import read_playbooks
    from watchkeeper.config import load
    from watchkeeper.roles.objectives import objectives_of

    try:
        library = load_runbooks(folder) if folder else load_library(config)
        playbooks = read_playbooks(folder or load(config).runbooks.dir)
    except RunbookError as error:
        raise ConfigError(error.message) from error
    if config or not folder:
        known = objectives_of(load(config))
        if mistakes := list(objective_mistakes(library, known)):
            raise ConfigError("\n".join(mistakes))
    services = ", ".join(library.policy.services) or "no service"
    playbook = f" and {len(playbooks)} playbooks" if playbooks else ""
    print(f"{len(library.books)} runbooks{playbook} are valid; the policy allows them to touch {services}")


@app.command(epilog="Example: watchkeeper runbook answer inc-7f3a01-run-9 yes")
def answer(
    run: RunId,
    choice: Annotated[str, typer.Argument(help="One of the choices of the question.")],
    question: Annotated[str, typer.Option("--question", help="The question's id. Default: what is asked now.")] = "",
    config: ConfigPath = None,
    who: Who = None,
) -> None:
    """Answer what a run asks: the question of a step, or whether a step happened. Exit status 4 if it asks none."""
    from alerting.incidents.commands import Incidents
    from alerting.incidents.questions import open_questions
    from alerting.oncall.in_force import open_in_force
    from runbooks.questions import answer_question
    from runbooks.run_rows import read_run
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load

    settings, clock, actor = load(config), SystemClock(), actor_of(who)
    with closing(open_in_force(settings)) as db:
        known, incidents = read_run(db, run), Incidents.configured(settings, db, clock)
        incident = incidents.get(known.incident_id) if known and known.incident_id else None
        asked = [each.question for each in open_questions(incident.questions)] if incident else []
        if incident is None or not (asked or question):
            text = answer_question(db, run, choice, actor, clock.now(), seen=question).text
        else:
            seen = question or asked[-1].id
            outcome = incidents.answer(incident.id, actor, f"cli:{uuid4().hex}", seen, choice)
            if not outcome.changed:
                raise Conflict(outcome.message)
            text = next((each.text for each in asked if each.id == seen), "the question")
    print(f"{text} {choice}; the run goes on")


@app.command(epilog="Example: watchkeeper runbook states > states.md")
def states() -> None:
    """Print the states of incidents, runbooks and steps as Mermaid diagrams, drawn from the code."""
    print(state_diagrams())


def state_diagrams() -> str:
    """One section a diagram, in Markdown; docs/state-machine.md holds it word for word."""
    from alerting.incidents.drawing import diagrams
    from runbooks.drawing import step_diagram

    drawn = diagrams() | {"A step of a run": step_diagram()}
    return "\n\n".join(f"## {title}\n\n```mermaid\n{diagram}\n```" for title, diagram in drawn.items())


def _follow(db: Database, worker: Runner, run_id: str) -> Run:
    """Work on a run until it is over, here or elsewhere."""
    from runbooks.run_rows import read_run

    while True:
        worker.turn(only=run_id)
        run = read_run(db, run_id)
        if run is None or run.is_over:
            if run is None:
                raise RunbookError(f"the run {run_id} is gone from the state database")
            return run
        time.sleep(LOOK_EVERY_S)


__all__ = ["app"]
