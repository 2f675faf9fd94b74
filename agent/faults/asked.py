"""Arguments of faults: what was asked for, in its range."""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.errors import AgentError


def number(arguments: Mapping[str, float | str], name: str, least: float, most: float) -> float:
    """A number from `least` to `most`.

    Raises:
        AgentError: it is none.
    """
    value = arguments[name]
    if isinstance(value, str | bool) or not least <= value <= most:
        raise AgentError(f"{name} must be a number from {least:g} to {most:g}, not {value!r}")
    return float(value)


def choice(arguments: Mapping[str, float | str], name: str, *choices: str) -> str:
    """One of these words.

    Raises:
        AgentError: it is none.
    """
    value = arguments[name]
    if value not in choices:
        raise AgentError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def listed(text: str) -> tuple[str, ...]:
    """The words of a setting that lists some: `a, b`."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)
