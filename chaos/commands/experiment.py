"""`watchkeeper chaos`: break the target on purpose, prove it, and revert it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
ShopDir = Annotated[Path, typer.Option("--shop", help="Data directory of the running shop (python -m chaos.shop).")]


@app.command("list", epilog="Example: watchkeeper chaos list --json")
def list_faults(as_json: AsJson = False) -> None:
    """List the faults, what each does, and which services have opted in to it."""
    from chaos.faults import FAULTS

    if as_json:
        rows = [
            {"fault": f.name, "mechanism": f.mechanism, "description": f.description, "targets": f.targets}
            for f in FAULTS.values()
        ]
        print(json.dumps(rows, indent=2))
        return
    for fault in FAULTS.values():
        print(f"{fault.name:<11} {fault.description}\n{'':<11} targets: {', '.join(fault.targets)}")


@app.command(
    epilog="Example: watchkeeper chaos run latency payments --shop /tmp/shop --config watchkeeper.yaml\n\n"
    "Exit status: 0 the fault took effect and the target is steady again; 1 refused, or it did not."
)
def run(
    fault: Annotated[str, typer.Argument(help="One of `watchkeeper chaos list`.")],
    service: Annotated[str, typer.Argument(help="The service to break.")],
    shop: ShopDir,
    seconds: Annotated[float, typer.Option(help="How long the fault holds after its effect is proved.")] = 20.0,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Run one experiment: check the steady state, inject, prove the effect, hold, revert, check again.

    With --config, the installation that watches the target learns from it: the watch role labels the incidents that
    the fault caused, or counts a miss.
    """
    from chaos.experiment import Experiment
    from chaos.experiment import run as run_experiment
    from chaos.fault import Effect
    from chaos.faults import FAULTS
    from chaos.targets.shop import Target
    from watchkeeper.errors import ChaosError

    if fault not in FAULTS:
        raise ChaosError(f"no fault {fault!r}; there are {', '.join(FAULTS)}")

    def notify(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def hold(effect: Effect) -> None:
        notify(f"took effect: {effect.detail}" if effect.proved else f"no effect: {effect.detail}")
        time.sleep(seconds if effect.proved else 0)

    experiment = Experiment(fault=FAULTS[fault], service=service, bound_s=seconds + 30)
    notify(experiment.title)
    target = Target.at(shop)
    if config is None:
        notify("not recorded; use --config to name the installation that learns from it")
        journal = run_experiment(experiment, target, hold)
    else:
        from chaos.truth import Recorder
        from watchkeeper.config import load
        from watchkeeper.state.database import Database

        recorder = Recorder(Database.open(load(config)), target, notify)
        recorder.catch_up()
        journal = run_experiment(experiment, target, hold, record=recorder)
    if as_json:
        print(json.dumps(asdict(journal), indent=2))
    else:
        print(f"{journal.status}; steady again: {'yes' if journal.steady_again else 'no'}")
    raise typer.Exit(0 if journal.status == "completed" else 1)


@app.command(epilog="Example: watchkeeper chaos history --shop watchkeeper-data/demo/shop")
def history(shop: ShopDir, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the experiments against a target, oldest first; `cut short`: its injector was killed, or it runs.

    With --config also what became of each: found, missed, joined (see docs/chaos-and-runbooks.md).
    """
    from chaos.record import history as read_history

    journals, outcomes = read_history(shop), _outcomes(config)
    if as_json:
        print(json.dumps([{**asdict(journal), "outcome": outcomes.get(journal.id)} for journal in journals], indent=2))
        return
    for journal in journals:
        at, outcome = datetime.fromtimestamp(journal.start, UTC), outcomes.get(journal.id) or ""
        print(f"{at:%Y-%m-%d %H:%M:%S}  {journal.status:13}  {outcome:9}  {journal.title}")
    if not journals:
        print("No experiment yet.")


def _outcomes(config: Path | None) -> Mapping[str, str | None]:
    """What the installation knows of each experiment; nothing where none is named."""
    if config is None:
        return {}
    from chaos.journal import outcomes
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    return outcomes(Database.open(load(config)))
