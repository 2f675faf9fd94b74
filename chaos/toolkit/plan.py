"""What an experiment would do, in words, and whether it may: nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from chaos.blast_radius import BlastRadius, callers_of
from chaos.experiment import PROOF_AND_REVERT_S, Experiment, validate
from chaos.objectives import unknown_objectives
from chaos.registry import fault_named
from chaos.toolkit.document import INJECT, ExperimentFile, shown
from watchkeeper.clock import SystemClock
from watchkeeper.errors import ChaosError, StoreError, TargetError, WatchkeeperError
from watchkeeper.target import own_name
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Window

if TYPE_CHECKING:
    from chaos.surroundings import Surroundings
    from watchkeeper.target import Target

CALLS_OF_S: Final = 600  # who calls whom is read from the last ten minutes
PLACES: Final = {"steady-state-hypothesis": "Hypothesis", "method": "Method", "rollbacks": "Rollbacks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done.

    Attributes:
        lines: every probe and action, in order.
        radius: what may be harmed.
        related: the services that an incident of its own may be about: those in the radius and what they call.
        refusals: why it may not run now; empty: it may.
        notes: what is not known.
    """

    lines: tuple[str, ...]
    radius: BlastRadius
    related: frozenset[str]
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The plan for a human."""
        parts = [*self.lines, "", f"Blast radius: {self.radius.describe()}"]
        parts += [f"Note: {note}" for note in self.notes]
        parts += [f"Refused: {reason}" for reason in self.refusals] or ["It may run."]
        return "\n".join(parts)


def plan(experiment: ExperimentFile, surroundings: Surroundings, variables: Mapping[str, Any] | None = None) -> Plan:
    """Plan an experiment: read the target and the call graph, ask whether each fault can be injected.

    `variables` replace values of its configuration.
    """
    notes: list[str] = []
    refusals: list[str] = []
    broken = set(experiment.extension.services or ())
    targets: set[str] = set()
    injections = list(experiment.injections(variables))
    target: Target | None = None
    if injections:
        try:
            target = surroundings.target()
            targets.add(target.name)
        except WatchkeeperError as error:
            refusals.append(error.message)
    for arguments in injections:
        broken.add(own_name(str(arguments.get("service", ""))))
        refusals += _refusal(arguments, target)
    if target is not None:
        target.close()
    if surroundings.config_path:
        refusals += unknown_objectives(surroundings.config, experiment)
    calls = _calls(surroundings, notes) if broken and surroundings.config_path else ()
    radius = BlastRadius(
        targets=frozenset(targets),
        broken=frozenset(broken),
        callers=callers_of(broken, calls),
        is_known=_is_known(experiment),
        system=str(surroundings.config.data_dir) if surroundings.config_path else " ".join(targets),
    )
    callees = callers_of(radius.services, ((callee, caller) for caller, callee in calls))
    return Plan(
        lines=tuple(described(experiment)),
        radius=radius,
        related=radius.services | callees,
        refusals=tuple(refusals),
        notes=tuple(notes),
    )


def bound_s(arguments: Mapping[str, Any]) -> float:
    """The longest that a fault lasts, in seconds, whatever becomes of the injector."""
    return float(arguments.get("seconds", 20.0)) + PROOF_AND_REVERT_S


def _refusal(arguments: Mapping[str, Any], target: Target | None) -> Iterator[str]:
    try:
        fault = fault_named(str(arguments.get("fault", "")), arguments.get("arguments"))
        experiment = Experiment(fault=fault, service=str(arguments.get("service", "")), bound_s=bound_s(arguments))
        if target is not None:
            validate(experiment, target)
    except (ChaosError, TargetError) as error:
        yield error.message
    except (ValueError, TypeError, OverflowError):
        yield f"seconds must be a number, not {shown(arguments.get('seconds'))}"


def _is_known(experiment: ExperimentFile) -> bool:
    """Whether the services that it breaks are all named: by faults of ours, or by the file."""
    if experiment.extension.services is not None:
        return True
    return all(
        (activity.get("provider", {}).get("module"), activity.get("provider", {}).get("func")) == INJECT
        for place, activity in experiment.activities()
        if place == "method" and activity.get("type") == "action"
    )


def _calls(surroundings: Surroundings, notes: list[str]) -> tuple[tuple[str, str], ...]:
    """Who calls whom, as the store saw it lately."""
    from watchkeeper.store.telemetry import Telemetry

    telemetry = Telemetry.connect(surroundings.config)
    try:
        table = telemetry.edges(Window.last(CALLS_OF_S, until=SystemClock().now()), CALLS_OF_S)
    except StoreError as error:
        notes.append(f"who calls these services is not known: {one_line(error.message)}")
        return ()
    return tuple(set(zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True)))


def described(experiment: ExperimentFile) -> Iterator[str]:
    """Every probe and action in words, in the order in which they run."""
    yield experiment.title
    place_before = ""
    for place, activity in experiment.activities():
        if place != place_before:
            yield f"{PLACES[place]}:"
            place_before = place
        yield f"  {activity.get('type', '?'):<6}  {one_line(activity.get('name', ''))}: {in_words(activity)}"
    seconds = sum(_pauses(activity) for _, activity in experiment.activities())
    if seconds:
        yield f"Pauses: {timedelta(seconds=seconds)} in all"


def in_words(activity: Mapping[str, Any]) -> str:
    """What a provider would do. Names of secrets and variables stand for their values."""
    provider = activity.get("provider", {})
    match provider.get("type"):
        case "http":
            what = f"{str(provider.get('method', 'GET')).upper()} {shown(provider.get('url', ''))}"
        case "process":
            arguments = provider.get("arguments") or []
            words = arguments if isinstance(arguments, str) else " ".join(map(str, _flat(arguments)))
            what = f"run {shown(provider.get('path', ''))} {words}".rstrip()
        case _:
            pairs = ", ".join(f"{key}={shown(value)}" for key, value in (provider.get("arguments") or {}).items())
            what = f"call {provider.get('module')}.{provider.get('func')}({pairs})"
    more = [f"tolerance {shown(activity['tolerance'])}"] if "tolerance" in activity else []
    more += ["in the background"] if activity.get("background") else []
    more += [f"pause {when} {shown(seconds)} s" for when, seconds in (activity.get("pauses") or {}).items()]
    return one_line("; ".join((what, *more)), 500)


def _flat(arguments: Any) -> Iterator[Any]:
    if isinstance(arguments, Mapping):
        for key, value in arguments.items():
            yield from (key, value)
    else:
        yield from arguments


def _pauses(activity: Mapping[str, Any]) -> float:
    pauses = (activity.get("pauses") or {}).values()
    return sum(float(seconds) for seconds in pauses if isinstance(seconds, (int, float)))
