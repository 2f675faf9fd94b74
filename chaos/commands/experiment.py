"""`watchkeeper chaos`: experiments, what they would do, what they did, and their end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaos.commands.coverage import coverage
from chaos.commands.report import decide, report
from chaos.commands.running import resume, run, stop
from chaos.commands.schedule import approve, postpone, refuse, schedule
from chaos.surroundings import Surroundings
from watchkeeper.command_options import AsJson, ConfigPath

if TYPE_CHECKING:
    from chaos.fault import Fault

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
ShopDir = Annotated[
    Path | None,
    typer.Option("--shop", help="Data directory of a running shop; default: the target that --config names."),
]
ExperimentFilePath = Annotated[Path, typer.Argument(metavar="FILE", help="An experiment: JSON or YAML.")]

app.command(
    epilog="Examples: watchkeeper chaos run experiment.yaml --config watchkeeper.yaml    "
    "watchkeeper chaos run latency payments --shop /tmp/shop --config watchkeeper.yaml\n\n"
    "Exit status: 0 it ended as it should; 1 refused, deviated, interrupted, or the fault had no effect."
)(run)
app.command(epilog="Examples: watchkeeper chaos stop    watchkeeper chaos stop --all --config watchkeeper.yaml")(stop)
app.command(epilog="Example: watchkeeper chaos coverage --config watchkeeper.yaml")(coverage)
app.command(epilog="Example: watchkeeper chaos report --config watchkeeper.yaml --html report.html")(report)
app.command(
    epilog="Example: watchkeeper chaos decide 1a2b3c4d repaired --note 'time-out of 2 s' --config watchkeeper.yaml"
)(decide)
app.command(epilog="Example: watchkeeper chaos schedule --config watchkeeper.yaml")(schedule)
app.command(epilog="Example: watchkeeper chaos approve payments-slow --as ana --config watchkeeper.yaml")(approve)
app.command(epilog="Example: watchkeeper chaos refuse payments-slow --as ana --config watchkeeper.yaml")(refuse)
app.command(epilog="Example: watchkeeper chaos postpone payments-slow --to 2026-12-01T14:30+01:00 --as ana")(postpone)
app.command(epilog="Example: watchkeeper chaos resume --config watchkeeper.yaml")(resume)


@app.command("list", epilog="Examples: watchkeeper chaos list --json    watchkeeper chaos list --shop /tmp/shop")
def list_faults(shop: ShopDir = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the faults and what each does; with a target, also to which services, and why not to the others.

    With --config also the experiments of `chaos.folder`, which `chaos run NAME` runs.
    """
    from chaos.registry import fault_registry, faults

    named = _named_experiments(config)
    reasons = _reasons(faults().values(), Surroundings(shop=shop, config_path=config))
    rows: list[dict[str, Any]] = [
        {
            "fault": fault.name,
            "mechanism": fault.mechanism,
            "description": fault.description,
            "needs": sorted(fault.needs),
            "services": None if reasons is None else [name for name, why in reasons[fault.name].items() if not why],
            "refused": None if reasons is None else {name: why for name, why in reasons[fault.name].items() if why},
        }
        for fault in faults().values()
    ]
    if as_json:
        print(json.dumps(rows + [{"experiment": name, "title": title} for name, title in named.items()], indent=2))
    else:
        width = max(len(row["fault"]) for row in rows)
        for row in rows:
            print(f"{row['fault']:<{width}} {row['description']}")
            if row["services"] is not None:
                print(f"{'':<{width}} services: {', '.join(row['services']) or 'none'}")
            for why, names in _by_reason(row["refused"] or {}).items():
                print(f"{'':<{width}} not {', '.join(names)}: {why}")
        if named:
            print("\nExperiments:")
        for name, title in named.items():
            print(f"{name}: {title}")
    for broken in fault_registry().broken:
        _notify(f"{broken.name} of {broken.origin} cannot be loaded: {broken.reason}")


@app.command(epilog="Example: watchkeeper chaos validate experiment.yaml other.json")
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Experiments: JSON or YAML.")],
    config: ConfigPath = None,
) -> None:
    """Check experiments: each mistake with file, line, place in it and what to do. Nothing is run.

    With --config, also whether the objectives that they name are configured.
    """
    from chaos.objectives import unknown_objectives
    from chaos.toolkit.document import read_experiment
    from watchkeeper.config import load
    from watchkeeper.errors import ChaosError

    mistakes = []
    for path in files:
        try:
            experiment = read_experiment(path)
        except ChaosError as error:
            mistakes.append(error.message)
            continue
        if unknown := list(unknown_objectives(load(config), experiment)) if config else []:
            mistakes += unknown
        else:
            print(f"{path}: {experiment.title}: ok")
    if mistakes:
        print("\n".join(mistakes), file=sys.stderr)
        raise typer.Exit(1)


@app.command(epilog="Example: watchkeeper chaos show experiment.yaml")
def show(file: ExperimentFilePath, as_json: AsJson = False) -> None:
    """Show an experiment: what it is about, its hypothesis, method and rollbacks. The target is not asked."""
    from chaos.toolkit.document import read_experiment
    from chaos.toolkit.plan import described

    experiment = read_experiment(file)
    if as_json:
        print(json.dumps(experiment.content, indent=2, default=str))
        return
    print("\n".join(described(experiment)))
    print(f"\n{experiment.content['description']}")


@app.command(epilog="Example: watchkeeper chaos plan experiment.yaml --config watchkeeper.yaml")
def plan(file: ExperimentFilePath, shop: ShopDir = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Print every action, the blast radius, and whether the experiment may run now. Touches nothing.

    Exit status: 0 it may run; 1 it is refused.
    """
    from chaos.toolkit.document import read_experiment
    from chaos.toolkit.session import planned

    outline = planned(read_experiment(file), Surroundings(shop=shop, config_path=config))
    if as_json:
        radius = {"services": sorted(outline.radius.services), "known": outline.radius.is_known}
        told = {"lines": outline.lines, "radius": radius, "refusals": outline.refusals, "notes": outline.notes}
        print(json.dumps(told, indent=2))
    else:
        print(outline.text())
    raise typer.Exit(1 if outline.refusals else 0)


@app.command(epilog="Example: watchkeeper chaos control --minutes 10 --config watchkeeper.yaml")
def control(
    config: ConfigPath = None,
    shop: ShopDir = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long the control window lasts.")] = 10.0,
) -> None:
    """Keep a control window: nothing is broken, and an incident about the target in it was a false one.

    Stop it (Ctrl-C) when something real happens: then nothing is recorded. Nothing is recorded either if customers
    are harmed for more than three seconds.
    """
    from chaos.experiment import HARMED_SECONDS_AT_MOST, STEADY_STATE, alone, deviating
    from watchkeeper.errors import ChaosError

    surroundings = Surroundings(shop=shop, config_path=config)
    with closing(surroundings.target()) as target, alone(target):
        recorder = surroundings.recorder(target, _notify)
        if recorder is None:
            raise ChaosError("a control window is for the installation that learns from it: name it by --config")
        began, harmed_seconds = time.time(), 0
        _notify(f"control window: {minutes:g} minutes without a fault")
        while (left := began + 60 * minutes - time.time()) > 0:
            reason = deviating(STEADY_STATE, target)
            harmed_seconds += bool(reason)
            if harmed_seconds > HARMED_SECONDS_AT_MOST:
                raise ChaosError(f"the control window is not recorded, since customers are harmed: {reason}")
            time.sleep(min(1.0, left))
        recorder.control(began, time.time(), "no fault was injected")
    print("recorded")


@app.command(epilog="Example: watchkeeper chaos history --shop watchkeeper-data/demo/shop")
def history(shop: ShopDir = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the experiments against a target, oldest first; `cut short`: its injector was killed, or it runs.

    With --config also what became of each: found, missed, joined (see docs/chaos-and-runbooks.md).
    """
    from chaos.toolkit.journals import kept, moment

    surroundings = Surroundings(shop=shop, config_path=config)
    faults, outcomes = surroundings.records().history(), _outcomes(config)
    files = [run for run in kept(surroundings.folder()) if not run.is_short_form]
    if as_json:
        rows = [{**asdict(journal), "outcome": outcomes.get(journal.id)} for journal in faults if not journal.is_sealed]
        print(json.dumps(rows, indent=2))
        return
    lines = [
        (journal.start, f"{journal.status:13}  {outcomes.get(journal.id) or '':9}  {journal.shown_title()}")
        for journal in faults
    ]
    lines += [
        (run.start, f"{run.status:13}  {'':9}  {run.shown_title()}{f' ({run.stopped})' if run.stopped else ''}")
        for run in files
    ]
    for at, line in sorted(lines):
        print(f"{moment(at)}  {line}")
    if not lines:
        print("No experiment yet.")


def _notify(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _named_experiments(config: Path | None) -> dict[str, str]:
    """The experiments of the configuration's folder: their titles by name, or what is wrong with the file."""
    from chaos.schedules.schedule import files_in
    from chaos.toolkit.document import read_experiment
    from watchkeeper.config import load
    from watchkeeper.errors import ChaosError

    named = {}
    for path in files_in(load(config).chaos.folder) if config else ():
        try:
            named[path.stem] = read_experiment(path).title
        except ChaosError as error:
            named[path.stem] = f"cannot be read: {error.message.splitlines()[0]}"
    return named


def _reasons(faults: Iterable[Fault], surroundings: Surroundings) -> Mapping[str, Mapping[str, str]] | None:
    """Fault → service → why it cannot be done to it, empty: it can. None, and why on stderr, where nothing answers."""
    from chaos.fault import why_not
    from watchkeeper.errors import TargetError

    if not surroundings.names_target:
        return None
    with closing(surroundings.target()) as target:
        try:
            services = sorted(target.services().items())
        except TargetError as error:
            _notify(f"the services are not known: {error.message}")
            return None
        for name, reason in getattr(target, "unanswered", {}).items():
            _notify(f"the services of {name} are not known: {reason}")
        return {fault.name: {name: why_not(fault, status) for name, status in services} for fault in faults}


def _by_reason(refused: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Reason → the services that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for service, why in refused.items():
        by_reason.setdefault(why, []).append(service)
    return by_reason


def _outcomes(config: Path | None) -> Mapping[str, str | None]:
    """What the installation knows of each experiment; nothing where none is named."""
    if config is None:
        return {}
    from chaos.journal import outcomes
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    return outcomes(Database.open(load(config)))
