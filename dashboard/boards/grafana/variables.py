"""The variables of a Grafana dashboard, each with the value that it had when the dashboard was saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.boards.grafana.refusals import NotTaken
from watchkeeper.text import one_line

ALL: Final = "__all_values__"  # stands for "All" in an expression: no label has it
_MENTION: Final = re.compile(r"\$\{(\w{1,80})(?::[\w:%.-]{0,40})?\}|\[\[(\w{1,80})(?::\w{0,40})?\]\]|\$(\w{1,80})")
# What Grafana fills in by itself. Every point of a panel covers the panel's own step, whatever stands here.
_DURATIONS: Final = {"__interval": "1m", "__rate_interval": "5m", "__range": "1h", "interval": "1m"}
_LONGEST: Final = 1000
_LONGEST_TEXT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Values by name."""

    values: Mapping[str, str]

    def filled(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The text with every variable's value in it, and what is lost by that.

        Raises:
            NotTaken: it names a variable that has no value, or is too long.
        """
        used: dict[str, str] = {}

        def value(mention: re.Match[str]) -> str:
            name = mention[1] or mention[2] or mention[3]
            if name in self.values:
                used[name] = self.values[name]
                return self.values[name]
            if name in _DURATIONS:
                return _DURATIONS[name]
            raise NotTaken(f"the variable ${name} has no value in the file")

        if len(text) > _LONGEST_TEXT:
            raise NotTaken(f"it has {len(text):,} characters, and at most {_LONGEST_TEXT:,} are read")
        filled = _MENTION.sub(value, text)
        return filled, tuple(f"${name} is fixed to {_shown(value)}" for name, value in used.items())


def _shown(value: str) -> str:
    return "all values" if value == ALL else one_line(value, 60)


def variables_of(templating: Any) -> Variables:
    """The variables of a dashboard's `templating`; those without one value, or all, are none."""
    members = templating.get("list") if isinstance(templating, dict) else None
    values: dict[str, str] = {}
    for one in members if isinstance(members, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            continue
        current = one.get("current")
        value = current.get("value") if isinstance(current, dict) else None
        if value is None and one.get("type") in ("constant", "textbox"):
            value = one.get("query")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if len(value) == 1 else "|".join(str(part) for part in value) if value else None
        if one.get("type") == "interval" and value in ("$__auto_interval_" + one["name"], "auto"):
            value = _DURATIONS["__interval"]
        if value == "$__all":
            value = one["allValue"] if isinstance(one.get("allValue"), str) and one["allValue"] else ALL
        if isinstance(value, str) and len(value) <= _LONGEST:
            values[one["name"]] = value
    return Variables(values=values)
