"""`watchkeeper chaos`: break the target on purpose, prove it, and revert it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaos.commands.coverage import coverage
from watchkeeper.command_options import AsJson, ConfigPath

if TYPE_CHECKING:
    from chaos.fault import Fault
    from chaos.record import Records
    from chaos.truth import Recorder
    from watchkeeper.target import Target

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
ShopDir = Annotated[
    Path | None,
    typer.Option("--shop", help="Data directory of a running shop; default: the target that --config names."),
]
PROOF_AND_REVERT_S = 30.0  # added to the bound of a fault: the proof takes as long on a busy machine
app.command(epilog="Example: watchkeeper chaos coverage --config watchkeeper.yaml")(coverage)
FOLDER = "chaos"  # in `data_dir`: the records of experiments against the configured target


@app.command("list", epilog="Examples: watchkeeper chaos list --json    watchkeeper chaos list --shop /tmp/shop")
def list_faults(shop: ShopDir = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the faults and what each does; with a target, also to which services, and why not to the others."""
    from chaos.registry import fault_registry, faults

    reasons = _reasons(faults().values(), shop, config)
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
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(row["fault"]) for row in rows)
        for row in rows:
            print(f"{row['fault']:<{width}} {row['description']}")
            if row["services"] is not None:
                print(f"{'':<{width}} services: {', '.join(row['services']) or 'none'}")
            for why, names in _by_reason(row["refused"] or {}).items():
                print(f"{'':<{width}} not {', '.join(names)}: {why}")
    for broken in fault_registry().broken:
        _notify(f"{broken.name} of {broken.origin} cannot be loaded: {broken.reason}")


@app.command(
    epilog="Example: watchkeeper chaos run latency payments --shop /tmp/shop --config watchkeeper.yaml\n\n"
    "Exit status: 0 the fault took effect and the target is steady again; 1 refused, or it did not."
)
def run(
    fault: Annotated[str, typer.Argument(help="One of `watchkeeper chaos list`.")],
    service: Annotated[str, typer.Argument(help="The service to break.")],
    shop: ShopDir = None,
    seconds: Annotated[float, typer.Option(help="How long the fault holds after its effect is proved.")] = 20.0,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Run one experiment: check the steady state, inject, prove the effect, hold, revert, check again.

    With --config, the installation that watches the target learns from it: the watch role labels the incidents that
    the fault caused, or counts a miss. Without --shop, its `targets` are what gets broken.
    """
    from chaos.experiment import Experiment
    from chaos.experiment import run as run_experiment
    from chaos.fault import Effect
    from chaos.registry import fault_named

    def hold(effect: Effect) -> None:
        _notify(f"took effect: {effect.detail}" if effect.proved else f"no effect: {effect.detail}")
        time.sleep(seconds if effect.proved else 0)

    experiment = Experiment(fault=fault_named(fault), service=service, bound_s=seconds + PROOF_AND_REVERT_S)
    _notify(experiment.title)
    with closing(_target(shop, config)) as target:
        journal = run_experiment(experiment, target, _records(shop, config, _recorder(config, target)), hold)
    if as_json:
        print(json.dumps(asdict(journal), indent=2))
    else:
        print(f"{journal.status}; steady again: {'yes' if journal.steady_again else 'no'}")
    raise typer.Exit(0 if journal.status == "completed" else 1)


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

    with closing(_target(shop, config)) as target, alone(target):
        recorder = _recorder(config, target)
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
    journals, outcomes = _records(shop, config, None).history(), _outcomes(config)
    if as_json:
        print(json.dumps([{**asdict(journal), "outcome": outcomes.get(journal.id)} for journal in journals], indent=2))
        return
    for journal in journals:
        at, outcome = datetime.fromtimestamp(journal.start, UTC), outcomes.get(journal.id) or ""
        print(f"{at:%Y-%m-%d %H:%M:%S}  {journal.status:13}  {outcome:9}  {journal.title}")
    if not journals:
        print("No experiment yet.")


def _notify(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _target(shop: Path | None, config: Path | None) -> Target:
    """The shop of a directory, else the configuration's target."""
    from chaos.shop.running import running_shop
    from watchkeeper.config import load
    from watchkeeper.target import configured_target

    if shop:
        return running_shop(shop)
    _require_one(shop, config)
    return configured_target(load(config))


def _reasons(faults: Iterable[Fault], shop: Path | None, config: Path | None) -> Mapping[str, Mapping[str, str]] | None:
    """Fault → service → why it cannot be done to it, empty: it can. None, and why on stderr, where nothing answers."""
    from chaos.fault import why_not
    from watchkeeper.errors import TargetError

    if not shop and not config:
        return None
    with closing(_target(shop, config)) as target:
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


def _records(shop: Path | None, config: Path | None, recorder: Recorder | None) -> Records:
    """Where the target's experiments are recorded; with a recorder, after it caught up with earlier ones."""
    from chaos.record import Records
    from watchkeeper.config import load

    _require_one(shop, config)
    folder = shop or load(config).data_dir / FOLDER
    if recorder is None:
        return Records(folder)
    recorder.catch_up(Records(folder))
    return Records(folder, recorder)


def _recorder(config: Path | None, target: Target) -> Recorder | None:
    """Who records in the state database of the installation that learns; None where none is named."""
    if config is None:
        _notify("not recorded; use --config to name the installation that learns from it")
        return None
    from chaos.truth import Recorder
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    return Recorder(Database.open(load(config)), target, _notify)


def _require_one(shop: Path | None, config: Path | None) -> None:
    from watchkeeper.errors import ChaosError

    if not shop and not config:
        raise ChaosError("name the target: --shop DIR, or --config FILE with `targets:`")


def _outcomes(config: Path | None) -> Mapping[str, str | None]:
    """What the installation knows of each experiment; nothing where none is named."""
    if config is None:
        return {}
    from chaos.journal import outcomes
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    return outcomes(Database.open(load(config)))
