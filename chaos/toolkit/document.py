"""An experiment file in Chaos Toolkit's format, read with its own library and checked part by part.

The library stops at the first mistake and does not say where it is. Here each part is checked by itself, so that every
mistake has its file, line and place. What Watchkeeper needs beyond the format is in the file's extension `watchkeeper`,
which other tools ignore.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from chaoslib import substitute
from chaoslib.activity import ensure_activity_is_valid
from chaoslib.configuration import load_configuration
from chaoslib.control import validate_controls
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.hypothesis import ensure_hypothesis_tolerance_is_valid
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from watchkeeper.config import ScheduleRule
from watchkeeper.errors import ChaosError, ConfigError
from watchkeeper.text import one_line
from watchkeeper.yaml_file import Document, Location, read_document

EXTENSION: Final = "watchkeeper"
SUFFIXES: Final = (".json", ".yaml", ".yml")
STRATEGIES: Final = {
    "hypothesis": (
        "default",
        "before-method-only",
        "after-method-only",
        "during-method-only",
        "continuously",
        "continously",
        "skip",
    ),
    "rollbacks": ("default", "always", "never", "deviated"),
}
LONGEST_PAUSE_S: Final = 7 * 86_400
INJECT: Final = ("chaos.toolkit.actions", "inject")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryLimit(_Strict):
    """A query of the telemetry store with one number as its answer, and the range in which that is well."""

    sql: str = Field(min_length=1)
    lowest: float | None = Field(default=None, allow_inf_nan=False)
    highest: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.lowest is None and self.highest is None:
            raise ValueError("name lowest, highest or both: without a bound nothing ends the experiment")
        return self


class AbortConditions(_Strict):
    """What ends an experiment early.

    Attributes:
        incidents: an open incident that is not the experiment's own; None: where an installation is named.
        hypothesis: a probe of the steady-state hypothesis outside its tolerance while the method runs.
        budget_below: less is left of an error budget than this share (0 to 1).
        budgets: the objectives whose budgets are meant; empty: all.
        query: a number of the telemetry store outside its range.
    """

    incidents: bool | None = None
    hypothesis: bool = False
    budget_below: float | None = Field(default=None, ge=0.0, le=1.0)
    budgets: tuple[str, ...] = ()
    query: QueryLimit | None = None


class Extension(_Strict):
    """What an experiment says to Watchkeeper, in its extension `watchkeeper`.

    Attributes:
        services: the services that its actions break, where they are not Watchkeeper's own.
        abort: what ends it early.
        schedule: when it runs by itself, in the folder that `chaos.folder` names in the configuration.
    """

    name: str = EXTENSION
    services: tuple[str, ...] | None = None
    abort: AbortConditions = AbortConditions()
    schedule: ScheduleRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentFile:
    """An experiment that was read and checked. `content` is what Chaos Toolkit's library runs."""

    source: str
    content: Mapping[str, Any]
    extension: Extension = field(default_factory=Extension)

    @property
    def title(self) -> str:
        return str(self.content.get("title", ""))

    @property
    def digest(self) -> str:
        """Changes with every change of the content."""
        text = json.dumps(self.content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def copied(self) -> dict[str, Any]:
        """The content, for the library to change as it likes."""
        return copy.deepcopy(dict(self.content))

    def activities(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every activity with its place, references resolved, in the order in which they run."""
        named = {
            part["name"]: part
            for part in (*self._parts("steady-state-hypothesis"), *self._parts("method"))
            if "name" in part
        }
        for place in ("steady-state-hypothesis", "method", "rollbacks"):
            for part in self._parts(place):
                yield place, named.get(part["ref"], part) if "ref" in part else part

    def injections(self, variables: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """The arguments of every action that injects a fault of Watchkeeper's, with the values of the configuration.

        `variables` replace some of these, as in `read_experiment`.
        """
        values = load_configuration(self.content.get("configuration") or {}, dict(variables or {}))
        for place, activity in self.activities():
            provider = activity.get("provider", {})
            if place == "method" and (provider.get("module"), provider.get("func")) == INJECT:
                yield substitute(dict(provider.get("arguments") or {}), values, {})

    def strategy(self, kind: str) -> str | None:
        """The strategy of `hypothesis` or `rollbacks` that the file itself asks for."""
        asked = ((self.content.get("runtime") or {}).get(kind) or {}).get("strategy")
        return None if asked is None else str(asked)

    def _parts(self, place: str) -> list[Mapping[str, Any]]:
        holder = self.content.get(place) or []
        return list(holder.get("probes") or []) if isinstance(holder, Mapping) else list(holder)


def read_experiment(path: Path, variables: Mapping[str, Any] | None = None) -> ExperimentFile:
    """Read and check a file.

    `variables` replace values of its `configuration`, as `--var` does.

    Raises:
        ChaosError: one line a mistake: file, line, place in it, and what to do.
    """
    if path.suffix not in SUFFIXES:
        raise ChaosError(f"{path}: an experiment is a file that ends in {', '.join(SUFFIXES)}")
    try:
        document = read_document(path)
    except ConfigError as error:
        document = _plain_json(path, error)
    return check(document, variables)


def _plain_json(path: Path, not_yaml: ConfigError) -> Document:
    """JSON that is no YAML, such as JSON indented with tabs; its lines are not known."""
    try:
        return Document(path=path, data=json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        if path.suffix == ".json" and isinstance(error, json.JSONDecodeError):
            raise ChaosError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from error
        raise ChaosError(not_yaml.message) from error


def check(document: Document, variables: Mapping[str, Any] | None = None) -> ExperimentFile:
    """Check what a file holds. Raises ChaosError, as `read_experiment`."""
    data = document.data
    if not isinstance(data, dict):
        raise ChaosError(f"{document.path}:1: an experiment has a title, a description and a method; this has none")
    found = list(_of_names(data)) or _mistakes(data, variables)
    mistakes = sorted((document.line(at), f"{document.where(at)}: {what}") for at, what in found)
    if mistakes:
        raise ChaosError("\n".join(text for _, text in mistakes))
    with quiet():
        try:
            # Whatever the library asks for and is not asked for here.
            ensure_experiment_is_valid(copy.deepcopy(_with_variables(data, variables)))
        except ChaosException as error:
            raise ChaosError(f"{document.path}:1: {one_line(error)}") from error
        except Exception as error:  # a part of a type that the library does not expect
            where = f"{document.path}:1: is no experiment as Chaos Toolkit has it"
            raise ChaosError(f"{where}: {type(error).__name__}: {one_line(error)}") from error
    return ExperimentFile(source=str(document.path), content=data, extension=_extension(data))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from logging what is reported here in other words."""
    logger = logging.getLogger("chaostoolkit")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


Mistakes = Iterator[tuple[Location, str]]


def _of_names(part: Any, at: Location = ()) -> Mistakes:
    """Keys that are no text, such as `on:`, which YAML reads as true: JSON has no others."""
    if isinstance(part, dict):
        for key, inner in part.items():
            if isinstance(key, str):
                yield from _of_names(inner, (*at, key))
            else:
                yield at, f"{key!r} is no name; put it in quotes"
    elif isinstance(part, list):
        for number, inner in enumerate(part):
            yield from _of_names(inner, (*at, number))


def _mistakes(data: dict[str, Any], variables: Mapping[str, Any] | None) -> Mistakes:
    for key in ("title", "description"):
        if not isinstance(data.get(key), str) or not data[key].strip():
            yield (key,), f"an experiment needs a {key}; write one sentence"
    if not isinstance(data.get("method"), list):
        yield ("method",), "an experiment needs a method: a list of actions and probes, which may be empty"
    if not isinstance(data.get("rollbacks", []), list):
        yield ("rollbacks",), "rollbacks are a list of actions"
    yield from _of_values(data, variables)
    yield from _of_hypothesis(data.get("steady-state-hypothesis"))
    names = _names(data)
    for place in ("method", "rollbacks"):
        parts = data.get(place)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _of_activity((place, number), part, names)
    yield from _of_controls(data)
    yield from strategy_mistakes(data)
    yield from _of_extension(data)


def _names(data: dict[str, Any]) -> set[str]:
    hypothesis = data.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    parts = [part for group in (data.get("method"), probes) if isinstance(group, list) for part in group]
    return {str(part["name"]) for part in parts if isinstance(part, dict) and "name" in part}


def _of_hypothesis(hypothesis: Any) -> Mistakes:
    if hypothesis is None:
        return
    place: Location = ("steady-state-hypothesis",)
    if not isinstance(hypothesis, dict):
        yield place, "a hypothesis has a title and a list of probes"
        return
    if not hypothesis.get("title"):
        yield place, "a hypothesis needs a title; write what is true while the system is well"
    probes = hypothesis.get("probes") or []
    if not isinstance(probes, list):
        yield (*place, "probes"), "probes are a list"
        return
    for number, probe in enumerate(probes):
        at = (*place, "probes", number)
        yield from _of_activity(at, probe, set())
        if isinstance(probe, dict) and "tolerance" not in probe:
            yield at, f"the probe {probe.get('name', '')!r} needs a tolerance: what it returns while the system is well"
        elif isinstance(probe, dict):
            yield from _refused((*at, "tolerance"), ensure_hypothesis_tolerance_is_valid, probe["tolerance"])


def _of_activity(at: Location, part: Any, names: set[str]) -> Mistakes:
    if not isinstance(part, dict):
        yield at, "an activity has a type (probe or action), a name and a provider"
        return
    if "ref" in part:
        if not isinstance(part["ref"], str) or part["ref"] not in names:
            known = ", ".join(sorted(names)) or "none"
            yield (*at, "ref"), f"no activity of this experiment is named {part['ref']!r}; there are: {known}"
        return
    provider = part.get("provider")
    if not isinstance(provider, dict):
        yield at, "an activity needs a provider: type http, process or python, and what belongs to it"
        return
    kinds = (dict, list, str) if provider.get("type") == "process" else (dict,)
    if not isinstance(provider.get("arguments") or {}, kinds):
        yield (*at, "provider", "arguments"), "arguments are names and values; leave the key out where there are none"
        return
    pauses = part.get("pauses", {})
    for when, seconds in pauses.items() if isinstance(pauses, dict) else ():
        if isinstance(seconds, (int, float)) and not 0 <= seconds <= LONGEST_PAUSE_S:
            yield (*at, "pauses", when), f"a pause lasts from 0 to {LONGEST_PAUSE_S} seconds"
            return
    yield from _refused(at, ensure_activity_is_valid, part)


def _of_values(data: dict[str, Any], variables: Mapping[str, Any] | None) -> Mistakes:
    """Configuration and secrets: each by itself, so that the one that is missing is named."""
    for key in ("configuration", "secrets"):
        if not isinstance(data.get(key) or {}, dict):
            yield (key,), f"{key} has names and values"
            return
    for name, value in (data.get("configuration") or {}).items():
        if name not in (variables or {}):
            yield from _refused(("configuration", name), load_configuration, {name: value})
    for scope, values in (data.get("secrets") or {}).items():
        yield from _of_secrets(("secrets", scope), values)


def _of_secrets(at: Location, value: Any) -> Mistakes:
    if not isinstance(value, dict):
        if len(at) == 2:
            yield at, "secrets have two levels: a scope, and in it names with {type: env, key: VARIABLE}"
        return  # a text in the file itself is none of our business, and is kept out of logs and journals all the same
    kind = value.get("type")
    if kind == "env":
        name = value.get("key")
        if not name or not isinstance(name, str):
            yield at, "name the environment variable: {type: env, key: VARIABLE}"
        elif name not in os.environ:
            yield at, f"the environment variable {name} is not set; set it and start again"
    elif isinstance(kind, str):
        yield at, f"secrets of type {kind} cannot be read here; use {{type: env, key: VARIABLE}}"
    else:
        for name, inner in value.items():
            yield from _of_secrets((*at, name), inner)


def _of_controls(data: dict[str, Any]) -> Mistakes:
    controls = data.get("controls") or []
    if not isinstance(controls, list) or not all(isinstance(each, dict) for each in controls):
        yield ("controls",), "controls are a list, each with a name and a provider"
        return
    for number, control in enumerate(controls):
        yield from _refused(("controls", number), validate_controls, {"controls": [control]})


def strategy_mistakes(data: dict[str, Any]) -> Mistakes:
    """Where `runtime` names no strategy that there is: of an experiment, or of the library's settings."""
    runtime = data.get("runtime") or {}
    if not isinstance(runtime, dict):
        yield ("runtime",), "runtime has hypothesis and rollbacks, each with a strategy"
        return
    for kind, known in STRATEGIES.items():
        part = runtime.get(kind) or {}
        if not isinstance(part, dict):
            yield ("runtime", kind), f"write {{strategy: NAME}}, with one of {', '.join(known)}"
            continue
        asked = part.get("strategy")
        if asked is not None and asked not in known:
            yield ("runtime", kind, "strategy"), f"there is no strategy {asked!r}; choose one of {', '.join(known)}"


def _of_extension(data: dict[str, Any]) -> Mistakes:
    extensions = data.get("extensions") or []
    if not isinstance(extensions, list):
        yield ("extensions",), "extensions are a list, each with a name"
        return
    for number, extension in enumerate(extensions):
        if isinstance(extension, dict) and extension.get("name") == EXTENSION:
            try:
                Extension.model_validate(extension)
            except ValidationError as error:
                for each in error.errors():
                    yield ("extensions", number, *each["loc"]), f"{each['msg']}; see docs/experiments.md"


def _extension(data: Mapping[str, Any]) -> Extension:
    for extension in data.get("extensions") or []:
        if extension.get("name") == EXTENSION:
            return Extension.model_validate(extension)
    return Extension()


def _refused(at: Location, check_part: Callable[[Any], object], part: Any) -> Mistakes:
    """What the library says against one part; it may run code of the modules that the part names."""
    with quiet():
        try:
            check_part(copy.deepcopy(part))
        except ChaosException as error:
            yield at, one_line(error)
        # A module of somebody else that cannot be imported, or that is a program and ends; or a wrong type.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            yield at, f"cannot be checked: {type(error).__name__}: {one_line(error)}"


def _with_variables(data: dict[str, Any], variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content with the variables in place of its configuration."""
    return {**data, "configuration": {**(data.get("configuration") or {}), **(variables or {})}} if variables else data


def shown(value: Any) -> str:
    """A value of an experiment in one short line."""
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str))
