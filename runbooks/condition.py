"""When a step is needed: comparisons written as YAML, never as code.

    when: {mechanism: hung}                                  equal
    when: {mechanism: [cpu, memory]}                         one of
    when: {outputs.look.status: {ge: 500}, service: cart}    both must hold
    when: {any: [{not: {change: ""}}, {outputs.look.ok: false}]}

What an earlier step did not report holds in no comparison.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Facts = Mapping[str, str | int | float | bool]
# What a run knows of the suspect; the rest is `outputs.<id>.<name>` and `steps.<id>`, a step's state.
SUSPECT: Final = ("service", "mechanism", "change", "runbook", "run")
_OF_STEP: Final = re.compile(r"(?:outputs\.([a-z0-9_-]+)\.[a-z0-9_]+|steps\.([a-z0-9_-]+))")
_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "in": lambda value, wanted: value in wanted,
}
_ORDERED: Final = ("lt", "le", "gt", "ge")
_DEEPEST: Final = 8


def condition_mistakes(when: Any, earlier: frozenset[str], depth: int = 0) -> Iterator[str]:
    """What is wrong with a condition; `earlier` are the ids of the steps before it."""
    if depth > _DEEPEST:
        yield "is nested too deeply"
        return
    if not isinstance(when, Mapping) or not when:
        yield "must be a mapping of names to what they must be, such as {mechanism: hung}"
        return
    for name, wanted in when.items():
        if name in ("any", "all"):
            if not isinstance(wanted, list) or not wanted:
                yield f"{name}: must be a list of conditions"
                continue
            for each in wanted:
                yield from condition_mistakes(each, earlier, depth + 1)
        elif name == "not":
            yield from condition_mistakes(wanted, earlier, depth + 1)
        elif why := name_mistake(str(name), earlier):
            yield why
        else:
            yield from _wanted_mistakes(str(name), wanted)


def name_mistake(name: str, earlier: frozenset[str]) -> str:
    """Why a name is none of what a run knows; empty: it is one."""
    if name in SUSPECT:
        return ""
    match = _OF_STEP.fullmatch(name)
    if match is None:
        return f"{name!r} is not known; use {', '.join(SUSPECT)}, outputs.<id>.<name> or steps.<id>"
    step = match[1] or match[2]
    if step not in earlier:
        return f"{name!r} is about the step {step!r}, and no earlier step has this id"
    return ""


def _wanted_mistakes(name: str, wanted: Any) -> Iterator[str]:
    if isinstance(wanted, list):
        wanted = {"in": wanted}
    if not isinstance(wanted, Mapping):
        wanted = {"eq": wanted}
    for how, value in wanted.items():
        if how not in _COMPARED:
            yield f"{name}: there is no comparison {how!r}; there are {', '.join(_COMPARED)}"
        elif how == "in":
            if not isinstance(value, list) or not all(isinstance(each, str | int | float | bool) for each in value):
                yield f"{name}: in: must be a list of texts or numbers"
        elif how in _ORDERED and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield f"{name}: {how}: must be a number"
        elif not isinstance(value, str | int | float | bool):
            yield f"{name}: must be compared with a text, a number, true or false"


def holds(when: Any, facts: Facts) -> bool:
    """Whether a condition holds; none always does."""
    if when is None:
        return True
    return all(_one_holds(str(name), wanted, facts) for name, wanted in when.items())


def _one_holds(name: str, wanted: Any, facts: Facts) -> bool:
    if name == "any":
        return any(holds(each, facts) for each in wanted)
    if name == "all":
        return all(holds(each, facts) for each in wanted)
    if name == "not":
        return not holds(wanted, facts)
    if name not in facts:
        return False
    if isinstance(wanted, list):
        wanted = {"in": wanted}
    if not isinstance(wanted, Mapping):
        wanted = {"eq": wanted}
    return all(_compare(how, facts[name], value) for how, value in wanted.items())


def _compare(how: str, value: Any, wanted: Any) -> bool:
    if how in _ORDERED and (isinstance(value, bool) or not isinstance(value, int | float)):
        return False
    if how in ("eq", "ne") and isinstance(value, bool) != isinstance(wanted, bool):
        return how == "ne"  # true is not 1
    return _COMPARED[how](value, wanted)


def read_condition(when: Any) -> str:
    """A condition as a person reads it: `mechanism is hung, and outputs.look.status ≥ 500`."""
    if when is None:
        return ""
    return ", and ".join(_read_one(str(name), wanted) for name, wanted in when.items())


_SIGNS: Final = {"eq": "is", "ne": "is not", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "in": "is one of"}


def _read_one(name: str, wanted: Any) -> str:
    if name in ("any", "all"):
        return "(" + (" or " if name == "any" else " and ").join(read_condition(each) for each in wanted) + ")"
    if name == "not":
        return f"not ({read_condition(wanted)})"
    if isinstance(wanted, list):
        wanted = {"in": wanted}
    if not isinstance(wanted, Mapping):
        wanted = {"eq": wanted}
    return " and ".join(f"{name} {_SIGNS[how]} {_shown(value)}" for how, value in wanted.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "empty"
