"""Which services a map shows: all of a small system; of a large one what is unwell, looked for, or near a service.

Who stands beside what was chosen is shown with it: a failing service without its callers explains nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dashboard.figures.topology import Call
from dashboard.reads.health import Health

READABLE: Final = 60  # services on one map; beyond it something is chosen
FARTHEST: Final = 3  # calls away from a service
UNWELL: Final = ("failing", "silent", "degraded")
Show = Literal["", "unwell", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a reader chose: `show` by health, `words` by name, `near` calls around `service`; 0 is no such choice."""

    show: Show = ""
    words: str = ""
    service: str = ""
    near: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The names on the map, and what they are in words; `hidden` is how many others there are."""

    names: frozenset[str]
    words: str
    hidden: int


def choose(health: Mapping[str, Health], calls: Sequence[Call], choice: Choice) -> Shown:
    """Apply a choice. The nearest wins: around a service, by name, by health, then by what is readable."""
    every = set(health) | {call.caller for call in calls} | {call.callee for call in calls}
    unwell = {name for name, one in health.items() if one.state in UNWELL or one.suspected}
    if choice.near and choice.service in every:
        away = min(choice.near, FARTHEST)
        words = f"around {choice.service}: what is at most {away} {'call' if away == 1 else 'calls'} away"
        return _shown(every, around({choice.service}, calls, away), words)
    if choice.words:
        found = {name for name in every if choice.words.casefold() in name.casefold()}
        return _shown(every, around(found, calls, 1), f"names with “{choice.words}”, and their neighbours")
    if choice.show == "unwell":
        return _shown(every, around(unwell, calls, 1), "what is unwell, and its neighbours")
    if choice.show == "all" or len(every) <= READABLE:
        return _shown(every, every, "")
    if unwell:
        return _shown(every, _most(around(unwell, calls, 1), unwell, calls), "what is unwell, and its neighbours")
    return _shown(every, _most(every, (), calls), "the busiest services; nothing is unwell")


def around(names: Iterable[str], calls: Sequence[Call], away: int) -> set[str]:
    """Some names, and everything that so many calls lead to, in either direction."""
    beside: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        beside[call.caller].add(call.callee)
        beside[call.callee].add(call.caller)
    reached, edge = set(names), set(names)
    for _ in range(away):
        edge = {other for name in edge for other in beside[name]} - reached
        reached |= edge
    return reached


def _most(names: Collection[str], first: Collection[str], calls: Sequence[Call]) -> set[str]:
    """As many as are readable: those in `first`, then the busiest."""
    flow: dict[str, float] = defaultdict(float)
    for call in calls:
        flow[call.caller] += call.per_second
        flow[call.callee] += call.per_second
    return set(sorted(names, key=lambda name: (name not in first, -flow[name], name))[:READABLE])


def _shown(every: Collection[str], names: Collection[str], words: str) -> Shown:
    return Shown(names=frozenset(names), words=words, hidden=len(set(every) - set(names)))
