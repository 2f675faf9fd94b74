"""`watchkeeper demo`: the whole loop on this machine."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Examples: watchkeeper demo    watchkeeper demo --headless --json --seed 2 > run.json\n\n"
    "watchkeeper demo --trial --faults 30 --benign-changes 20 --json > trial.json\n\n"
    "Exit status: 0 the run is complete; 1 something could not start; 130 Ctrl-C."
)
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Six faults and a control window, with a scripted human.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Chooses faults' order and targets.")] = 1,
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Many faults and benign changes, before and after learning."),
    ] = False,
    faults: Annotated[int, typer.Option(min=0, help="Faults of a trial.")] = 20,
    benign_changes: Annotated[int, typer.Option(min=0, help="Benign changes of a trial.")] = 20,
    disturbances: Annotated[str | None, typer.Option("--disturbances", hidden=True)] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Let a scripted human answer, instead of you.")] = False,
    data_dir: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("watchkeeper-data/demo"),
    as_json: AsJson = False,
) -> None:
    """Start a small shop and Watchkeeper, break one service, and follow the page until you resolve it.

    With --headless a scripted human does your part, six faults are injected, and the result is printed at
    the end: as a table, or with --json as one JSON document. --trial does the same with many faults and harmless
    benign changes, and promotes what was learned half way. Progress goes to stderr. Everything that was
    started is stopped at the end. Nothing leaves this machine.
    """
    from chaos.demo.processes import Stopped

    if disturbances is not None:
        raise typer.BadParameter("use --benign-changes instead", param_hint="--disturbances")
    started = time.monotonic()

    def notify(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f}  {line}", file=sys.stderr, flush=True)

    try:
        if trial:
            from chaos.demo.trial import run as run_trial

            tried = run_trial(data_dir.absolute(), seed, notify, faults=faults, benign_changes=benign_changes)
            if as_json:
                print(json.dumps(tried.as_json(), indent=2))
            else:
                from chaos.demo.screen import print_trial

                print_trial(tried)
        elif headless:
            from chaos.demo.headless import run

            report = run(data_dir.absolute(), seed, notify)
            if as_json:
                print(json.dumps(report.as_json(), indent=2))
            else:
                from chaos.demo.screen import print_report

                print_report(report)
        else:
            from chaos.demo.interactive import run as run_interactive

            run_interactive(data_dir.absolute(), seed, auto=auto)
    except Stopped as error:
        raise typer.Exit(130) from error
