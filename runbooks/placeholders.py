"""Placeholders in the inputs of steps: `{service}`, `{mechanism}`, `{outputs.look.status}`.

Only a name in braces is one; other braces, such as those of a query, stay as they are. What is filled in comes from
telemetry and may be hostile: each step takes it as a value, never as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from runbooks.condition import Facts, name_mistake
from watchkeeper.errors import RunbookError

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_.-]*)\}")


def placeholder_mistakes(value: Any, earlier: frozenset[str]) -> Iterator[str]:
    """Placeholders that no run can fill; `earlier` are the ids of the steps before."""
    for text in _texts(value):
        for match in PLACEHOLDER.finditer(text):
            if why := name_mistake(match[1], earlier):
                yield f"{{{match[1]}}}: {why}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def fill(value: Any, facts: Facts, *, leave: bool = False) -> Any:
    """The value with every placeholder filled; `leave` keeps those that are not known yet, for a plan.

    Raises:
        RunbookError: an earlier step did not report what a placeholder names.
    """
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda match: _filled(match, facts, leave=leave), value)
    if isinstance(value, Mapping):
        return {key: fill(each, facts, leave=leave) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [fill(each, facts, leave=leave) for each in value]
    return value


def _filled(match: re.Match[str], facts: Facts, *, leave: bool) -> str:
    if match[1] in facts:
        value = facts[match[1]]
        return str(value).lower() if isinstance(value, bool) else str(value)
    if leave:
        return match[0]
    raise RunbookError(f"{{{match[1]}}} is not known: the step that would report it did not run, or did not report it")
