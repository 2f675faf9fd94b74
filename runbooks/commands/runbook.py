"""`watchkeeper runbook`: what runbooks there are, what they would do, and what became of their runs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.text import one_line, prose, seen_name

if TYPE_CHECKING:
    from runbooks.library import Library
    from runbooks.run_rows import Run
    from runbooks.runbook import Runbook
    from watchkeeper.vocabulary import Proposal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
BookId = Annotated[str, typer.Argument(help="The runbook's id, such as restart-service.")]
Service = Annotated[str, typer.Argument(help="The service that it acts on.")]
MechanismOption = Annotated[str, typer.Option("--mechanism", help="The mechanism that its conditions see.")]
Change = Annotated[str, typer.Option("--change", help="The id of the change that its conditions see.")]
RunId = Annotated[str, typer.Argument(help="The run's id, as `watchkeeper runbook history` lists it.")]


@app.command("list", epilog="Example: watchkeeper runbook list --json")
def list_books(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The runbooks, what each is for and which steps it takes."""
    library = load_library(config)
    rows: list[dict[str, Any]] = [
        {
            "id": book.id,
            "mechanisms": list(book.mechanisms),
            "after_change": book.after_change,
            "steps": list(book.steps),
            "title": book.title,
        }
        for book in library.books.values()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        after = " after a change" if row["after_change"] else ""
        print(f"{row['id']:<{width}}  {prose(row['title'])}")
        print(f"{'':<{width}}  for: {', '.join(row['mechanisms'])}{after}; steps: {', '.join(row['steps'])}")


@app.command(epilog="Example: watchkeeper runbook plan restart-service payments --config watchkeeper.yaml")
def plan(
    runbook: BookId,
    service: Service,
    config: ConfigPath = None,
    mechanism: MechanismOption = "",
    change: Change = "",
    as_json: AsJson = False,
) -> None:
    """Print each step of a run and its undo, and whether it could run now. Touches nothing."""
    from runbooks.feasible import COMMAND_TIMEOUT_S, weighed
    from runbooks.wording import undo_sentences
    from watchkeeper.config import load
    from watchkeeper.target import configured_target

    library = load_library(config)
    book = book_of(library, runbook)
    proposal = proposal_for(book, service, mechanism, change)
    with closing(configured_target(load(config))) as target:
        seen = weighed(proposal, library, target, timeout_s=COMMAND_TIMEOUT_S)
    why_not = seen.blocked if seen else f"no target is configured, or it has no service {seen_name(service)}"
    undo = undo_sentences(book.program, service, proposal.arguments)
    if as_json:
        steps = [{"step": did, "undo": back} for did, back in zip(proposal.steps, undo, strict=True)]
        print(json.dumps({"title": proposal.title, "steps": steps, "blocked": why_not}, indent=2))
        return
    print_plan(proposal, undo)
    print(f"It cannot run now: {prose(why_not)}" if why_not else "It can run now.")


@app.command(epilog="Examples: watchkeeper runbook history    watchkeeper runbook history inc-7f3a01-run-9 --json")
def history(
    run: Annotated[str | None, typer.Argument(help="The id of one run, to see its steps.")] = None,
    config: ConfigPath = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 30,
    as_json: AsJson = False,
) -> None:
    """What became of runs, newest first; of one run, each step."""
    from runbooks.run_rows import read_run, recent_runs
    from watchkeeper.config import load
    from watchkeeper.state.codec import dump
    from watchkeeper.state.database import Database

    db = Database.open(load(config))
    if run:
        one = read_run(db, run)
        if one is None:
            raise NotFound(f"there is no run {seen_name(run)}; `watchkeeper runbook history` lists them")
        print(json.dumps(json.loads(dump(one)), indent=2)) if as_json else print_run(one)
        return
    rows = recent_runs(db, limit)
    if as_json:
        print(json.dumps([json.loads(dump(one)) for one in rows], indent=2))
        return
    for one in rows:
        by = f", approved by {seen_name(one.approved_by)}" if one.approved_by else ""
        print(f"{one.approved_at:%Y-%m-%d %H:%M:%S}  {one.state:9}  {one.id}  {prose(one.proposal.title)}{by}")
    if not rows:
        print("no runbook has run yet")


@app.command(epilog="Example: watchkeeper runbook export restart-service --bpmn > restart-service.bpmn")
def export(
    runbook: BookId,
    bpmn: Annotated[bool, typer.Option("--bpmn", help="BPMN 2.0 XML with its diagram, for modelling tools.")] = False,
    config: ConfigPath = None,
) -> None:
    """Print a runbook's flow: as BPMN 2.0 XML, or its complete program as JSON."""
    from runbooks.bpmn import bpmn as as_bpmn
    from runbooks.program import program_tree

    book = book_of(load_library(config), runbook)
    print(as_bpmn(book) if bpmn else json.dumps({"id": book.id, **program_tree(book.program)}, indent=2))


@app.command(epilog='Example: watchkeeper runbook stop --reason "the database is being moved"')
def stop(
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")] = "no reason given",
    config: ConfigPath = None,
    who: Who = None,
) -> None:
    """Stop everything that runs without a human. Runs that a human approved go on."""
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database
    from watchkeeper.state.stops import stop_everything

    actor = actor_of(who)
    stop_everything(Database.open(load(config)), actor, one_line(reason), SystemClock().now())
    print("stopped: no runbook begins without a human until `watchkeeper runbook resume`")


@app.command(epilog="Example: watchkeeper runbook resume")
def resume(config: ConfigPath = None, who: Who = None) -> None:
    """End the global stop. Exit status 4 if there is none."""
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database
    from watchkeeper.state.stops import lift_stop

    actor = actor_of(who)
    if not lift_stop(Database.open(load(config)), actor, SystemClock().now()):
        raise Conflict("nothing is stopped")
    print("resumed")


def load_library(config: Path | None) -> Library:
    """The runbooks that a configuration names. Raises RunbookError."""
    from runbooks.library import load_runbooks
    from watchkeeper.config import load

    return load_runbooks(load(config).runbooks.dir)


def book_of(library: Library, runbook: str) -> Runbook:
    """A runbook by id. Raises NotFound."""
    if runbook not in library.books:
        raise NotFound(f"no runbook {seen_name(runbook)}; there are {', '.join(library.books)}")
    return library.books[runbook]


def proposal_for(book: Runbook, service: str, mechanism: str, change: str) -> Proposal:
    """What a runbook would do outside an incident. Raises ConfigError or RunbookError."""
    from runbooks.propose import proposal_of
    from watchkeeper.vocabulary import MECHANISMS

    if mechanism and mechanism not in MECHANISMS:
        raise ConfigError(f"--mechanism: {seen_name(mechanism)} is none of {', '.join(MECHANISMS)}")
    arguments = {"service": service}
    arguments |= {"mechanism": mechanism} if mechanism else {}
    arguments |= {"change": change} if change else {}
    return proposal_of(book, service, arguments)


def print_plan(proposal: Proposal, undo: tuple[str, ...]) -> None:
    """Each step with its undo, and what is touched."""
    print(prose(proposal.title))
    for number, (did, back) in enumerate(zip(proposal.steps, undo, strict=True), 1):
        print(f"  {number}. {prose(did)}\n     undo: {prose(back)}")
    print(f"  blast radius: {prose(proposal.blast_radius)}")


def print_run(run: Run) -> None:
    """A run and its steps."""
    by = f", approved by {seen_name(run.approved_by)}" if run.approved_by else ""
    print(f"{run.id}  {run.state}{by}\n{prose(run.proposal.title)}")
    print_steps(run)
    if run.text:
        print(f"ended: {prose(run.text, 2000)}")


def print_steps(run: Run) -> None:
    """Each step of a run, and how to answer what one asks."""
    from runbooks.questions import open_question

    for step in run.steps:
        details = "; ".join(prose(text) for text in (step.detail, step.undone) if text)
        print(f"  {step.state:8}  {step.name}  {details}".rstrip())
        if step.state == "asking" and (question := open_question(run)):
            for choice in question.choices:
                print(f"            `{question.command(choice)}`")
