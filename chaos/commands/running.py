"""`watchkeeper chaos run`, `stop` and `resume`."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

from chaos.surroundings import Surroundings
from watchkeeper.command_options import AsJson, ConfigPath, actor_of
from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from chaos.running import Note, Notes
    from chaos.schedules.claims import Ending
    from chaos.toolkit.document import ExperimentFile
    from chaos.toolkit.session import Outcome

ANSWERED_WITHIN_S: Final = 1.0


def run(
    what: Annotated[
        str | None,
        typer.Argument(metavar="FILE|NAME|FAULT", help="A file, a name in `chaos.folder`, or one of `chaos list`."),
    ] = None,
    service: Annotated[str | None, typer.Argument(help="With a fault: the service to break.")] = None,
    following: Annotated[
        bool,
        typer.Option("--next", help="Run what `chaos coverage` proposes, one after the other: `--next 3`."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --next: do not ask before they run.")] = False,
    shop: Annotated[
        Path | None,
        typer.Option("--shop", help="Data directory of a running shop; default: the target that --config names."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long a fault holds after its effect is proved.")] = 20.0,
    config: ConfigPath = None,
    as_json: AsJson = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the experiment of a fault and a service to this file; run nothing.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for a fault that an agent holds, such as delay_ms=300; more than once."),
    ] = None,
    game_day: Annotated[bool, typer.Option("--game-day", help="Show nobody which fault it is before its end.")] = False,
    journal_path: Annotated[Path | None, typer.Option(help="Also write the journal here.")] = None,
    dry: Annotated[str | None, typer.Option(help="Leave out: probes, actions, activities or pause.")] = None,
    hypothesis_strategy: Annotated[
        str | None,
        typer.Option(help="default, continuously, or before-, during- or after-method-only."),
    ] = None,
    hypothesis_frequency: Annotated[float, typer.Option(min=0.05, help="Seconds between looks, continuously.")] = 1.0,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Continuously: end at the first deviation.")] = False,
    rollback_strategy: Annotated[str | None, typer.Option(help="default, always, never or deviated.")] = None,
    var: Annotated[list[str] | None, typer.Option(help="key=value or key:type=value, for its configuration.")] = None,
    var_file: Annotated[list[Path] | None, typer.Option(help="A file of values or of environment variables.")] = None,
    claim: Annotated[str, typer.Option(hidden=True, help="The due time of a schedule that this run is for.")] = "",
    control_file: Annotated[list[Path] | None, typer.Option(help="A file of controls.")] = None,
) -> None:
    """Run one experiment: check the steady state, play the method, roll back, check again.

    FILE is in Chaos Toolkit's format; NAME is that of a file in the configuration's `chaos.folder`. FAULT and a service
    are a short form: the fault is injected, its effect proved, held, and reverted.

    With --next, the coverage map chooses: the plan is printed, you are asked, and it ends at the first experiment that
    does not complete.

    With --config, the installation that watches the target learns from it: the watch role labels the incidents that
    the fault caused, or counts a miss. Without --shop, its target is what gets broken.
    """
    from chaos.toolkit.document import STRATEGIES
    from chaos.toolkit.run import Options
    from chaos.toolkit.session import conduct
    from chaos.toolkit.settings import read_settings

    if following:
        _next(what, service, config, shop, seconds, yes=yes)
        return
    if what is None:
        raise ConfigError("name an experiment: a file, a name in `chaos.folder`, a fault and a service, or --next")
    variables = _variables(var or [], var_file or [])
    experiment = _experiment(what, service, seconds, variables[0], given or [], config)
    if write:
        write.write_text(json.dumps(experiment.content, indent=2) + "\n", encoding="utf-8")
        _notify(f"written to {write}")
        return
    if service:
        Surroundings(shop=shop, config_path=config).require_target()
    settings = read_settings(control_file or [])
    _notify("game day" if game_day else experiment.title)
    options = Options(
        hypothesis_strategy=hypothesis_strategy,
        rollback_strategy=_known(rollback_strategy, "--rollback-strategy", STRATEGIES["rollbacks"]),
        frequency_s=hypothesis_frequency,
        fail_fast=fail_fast,
        dry=_known(dry, "--dry", ("probes", "actions", "activities", "pause")),
        variables=variables,
    )
    surroundings, run_id = Surroundings(shop=shop, config_path=config), uuid.uuid4().hex
    with _taken(claim, surroundings, run_id) as ending:
        outcome = conduct(
            experiment,
            surroundings,
            options,
            settings=settings,
            journal_path=journal_path,
            sealed=game_day,
            run_id=run_id,
            approved_by=ending.approved_by,
            verbose=service is None and not game_day,
        )
        stopped = outcome.summary.stopped
        ending.detail = f"{outcome.summary.status}{f': {stopped}' if stopped else ''}"
    if service is None:
        _end_of_file(outcome, as_json=as_json)
    else:
        _end_of_fault(outcome, surroundings, as_json=as_json)


def stop(
    every: Annotated[
        bool, typer.Option("--all", help="Also end every fault on every target, and let no target take a new one.")
    ] = False,
    only_cut_short: Annotated[bool, typer.Option(hidden=True, help="Only clear up; end nothing.")] = False,
    config: ConfigPath = None,
    shop: Annotated[Path | None, typer.Option("--shop", help="Data directory of a running shop.")] = None,
) -> None:
    """End the experiments that run on this machine, and what an experiment that was cut short left behind.

    Each reverts its faults and plays its rollbacks. With --all, every target of the configuration is told to end its
    faults, whoever began them, and refuses new ones until `watchkeeper chaos resume`. Until then no runbook
    of --config runs without a human either.
    """
    from chaos.running import Notes, ask_to_stop

    notes = Notes()
    everywhere = _on_targets("stop", Surroundings(shop=shop, config_path=config)) if every else None
    running = () if only_cut_short else notes.alive()
    left = ask_to_stop(notes, running)
    for note in running:
        print(f"{'still ending' if note in left else 'ended'}: {note.shown_title()}")
    if everywhere is not None:
        everywhere.join(ANSWERED_WITHIN_S)  # loading the database's library would hold its requests up
    if every and config:
        _runbooks_too("stop", config)
    failed = []
    left_behind = notes.cut_short()
    for note in left_behind:
        reason = _clear_up(note, notes)
        failed += [reason] if reason else []
        print(f"{'not put back' if reason else 'put back'}: {note.shown_title()}, which was cut short")
    if everywhere is not None:
        everywhere.join()
        failed += everywhere.failed
    if not running and not left_behind and not every:
        print("No experiment runs here.")
    for reason in failed:
        _notify(reason)
    _leave(1 if failed else 0)


def resume(
    config: ConfigPath = None,
    shop: Annotated[Path | None, typer.Option("--shop", help="Data directory of a running shop.")] = None,
) -> None:
    """Let the targets take faults again after `watchkeeper chaos stop --all`."""
    asked = _on_targets("resume", Surroundings(shop=shop, config_path=config))
    asked.join()
    if config:
        _runbooks_too("resume", config)
    for reason in asked.failed:
        _notify(reason)
    _leave(1 if asked.failed else 0)


def _taken(claim: str, surroundings: Surroundings, run_id: str) -> AbstractContextManager[Ending]:
    """Where the run is for a schedule's due time: hold it."""
    from chaos.schedules.claims import Ending, taken

    if not claim:
        return nullcontext(Ending())
    from watchkeeper.state.database import Database

    return taken(Database.open(surroundings.config), claim, run_id)


def _clear_up(note: Note, notes: Notes) -> str:
    """Play what rollbacks it left; without any, its faults have ended by themselves."""
    if not note.content.get("rollbacks"):
        notes.remove(note.id)
        return ""
    from chaos.toolkit.session import clear_up

    return clear_up(note, notes)


def _runbooks_too(verb: str, config: Path) -> None:
    """The global stop holds for runbooks without a human, too."""
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import WatchkeeperError
    from watchkeeper.state.database import Database
    from watchkeeper.state.stops import lift_stop, stop_everything

    actor, now = actor_of(), SystemClock().now()
    try:
        with closing(Database.open(load(config))) as db:
            if verb == "stop":
                stop_everything(db, actor, "watchkeeper chaos stop --all", now)
            else:
                lift_stop(db, actor, now)
    except WatchkeeperError as error:  # faults are ended all the same
        _notify(f"runbooks without a human were not told to {verb}: {error.message}")


class _on_targets(threading.Thread):  # noqa: N801 - reads as what it does
    """Asks all targets at once, while experiments are being ended, and prints what became of each when it answers."""

    def __init__(self, verb: Literal["stop", "resume"], surroundings: Surroundings) -> None:
        from watchkeeper.composite_target import CompositeTarget

        super().__init__(name=f"{verb} targets", daemon=True)
        surroundings.require_target()
        self._verb: Literal["stop", "resume"] = verb
        target = surroundings.target()
        if not isinstance(target, CompositeTarget):
            target = CompositeTarget({"shop" if surroundings.shop else "targets": target}, name="")
        self._target = target
        self.failed: list[str] = []
        self.start()

    def run(self) -> None:
        from watchkeeper.errors import TargetError

        with suppress(TargetError):
            self._target.ask_each(self._verb, self._heard)

    def _heard(self, name: str, reason: str) -> None:
        if reason:
            self.failed.append(f"{name}: {reason}")
        elif not self._target.holds_faults(name):
            print(f"{name}: holds no faults by itself", flush=True)
        elif self._verb == "stop":
            print(f"{name}: every fault is ended, and new ones are refused", flush=True)
        else:
            print(f"{name}: takes faults again", flush=True)


def _next(
    what: str | None, service: str | None, config: Path | None, shop: Path | None, seconds: float, *, yes: bool
) -> None:
    """What the map proposes; `what` is how many."""
    from chaos.commands.next_run import run_next

    if service is not None or (what is not None and not what.isdigit()):
        raise ConfigError("--next takes how many to run, such as --next 3, and nothing else")
    run_next(int(what or 1), config, shop, seconds, yes=yes)


def _experiment(
    what: str, service: str | None, seconds: float, values: dict[str, Any], given: list[str], config: Path | None
) -> ExperimentFile:
    """The experiment that the command's words name."""
    from chaos.registry import faults
    from chaos.schedules.schedule import file_named, files_in
    from chaos.toolkit.document import read_experiment
    from chaos.toolkit.short_form import experiment_for
    from watchkeeper.config import load
    from watchkeeper.errors import ChaosError

    if service is not None:
        return experiment_for(what, service, seconds, _given(given))
    if given:
        raise ChaosError("--set is for a fault and a service; a file has `arguments` in its own action")
    if Path(what).exists() or Path(what).suffix:
        return read_experiment(Path(what), values)
    folder = load(config).chaos.folder if config else None
    if folder and any(path.stem == what for path in files_in(folder)):
        return read_experiment(file_named(folder, what), values)
    if what in faults():
        raise ChaosError(f"name the service to break too: watchkeeper chaos run {what} SERVICE")
    if folder is None:
        raise ChaosError(f"there is no file {what}; a name is looked up in `chaos.folder` of --config")
    return read_experiment(file_named(folder, what), values)


def _given(words: list[str]) -> dict[str, float | str]:
    """NAME=VALUE, with numbers as numbers."""
    from watchkeeper.errors import ChaosError

    given: dict[str, float | str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ChaosError(f"--set takes NAME=VALUE, such as delay_ms=300, not {word!r}")
        try:
            given[name] = float(value)
        except ValueError:
            given[name] = value
    return given


def _variables(var: list[str], files: list[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    from chaoslib import convert_vars, merge_vars

    from watchkeeper.errors import ChaosError

    try:
        values, secrets = merge_vars(convert_vars(var), [str(path) for path in files])
    except (ValueError, OSError) as error:
        raise ChaosError(f"--var and --var-file: {error}") from error
    return dict(values or {}), dict(secrets or {})


def _known(value: str | None, option: str, known: tuple[str, ...]) -> str | None:
    from watchkeeper.errors import ChaosError

    if value is not None and value not in known:
        raise ChaosError(f"{option} is one of {', '.join(known)}, not {value!r}")
    return value


def _end_of_file(outcome: Outcome, *, as_json: bool) -> NoReturn:
    """Print how an experiment from a file ended, and leave."""
    summary = outcome.summary
    if as_json:
        print(json.dumps(outcome.journal, indent=2))
    else:
        why = f": {summary.stopped}" if summary.stopped else ""
        print(f"{summary.status}{why}")
        if not outcome.was_steady:
            _notify("the steady state did not hold before, so nothing was done")
    _leave(0 if summary.status == "completed" and outcome.was_steady else 1)


def _end_of_fault(outcome: Outcome, surroundings: Surroundings, *, as_json: bool) -> NoReturn:
    """Print what a fault did, and leave."""
    from watchkeeper.errors import ChaosError

    began = outcome.summary.start
    rows = [journal for journal in surroundings.records().history() if journal.start >= began]
    if not rows:
        if not outcome.was_steady:
            raise ChaosError("the target is not steady, so nothing was broken")
        errors = [str(run["exception"][-1]).strip() for run in outcome.journal["run"] if run.get("exception")]
        raise ChaosError(errors[0].partition("ChaosError: ")[2] if errors else outcome.summary.stopped or "interrupted")
    journal = rows[-1]
    if as_json:
        print(json.dumps(asdict(journal), indent=2))
    else:
        print(f"{journal.status}; steady again: {'yes' if journal.steady_again else 'no'}")
    _leave(0 if journal.status == "completed" and outcome.summary.status == "completed" else 1)


def _leave(status: int) -> NoReturn:
    """End the process, also where an activity in the background would keep it."""
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status)


def _notify(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
