"""The detectors: Watchkeeper's own and those of other packages, by entry point."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from detectors.detector import NEEDS, DetectorPart
from watchkeeper.parts import Registry, read_registry


@cache
def detectors() -> Registry[DetectorPart]:
    """The installed detectors."""
    return read_detectors()


def read_detectors(declared: Iterable[EntryPoint] | None = None) -> Registry[DetectorPart]:
    """The installed detectors, or those of the given entry points."""
    return read_registry("detector", accept, declared)


def accept(name: str, loaded: Any) -> DetectorPart:
    """A detector's class as a part.

    Raises:
        TypeError: it is no class with `judge`, or its `needs` or `after` are no tuples of names.
        ValueError: it needs something that nobody reads.
    """
    if not isinstance(loaded, type) or not callable(getattr(loaded, "judge", None)):
        raise TypeError("a detector is a class with a method `judge(seen)`; see docs/extending.md")
    made: Any = loaded
    needs: Any = getattr(loaded, "needs", None)
    after: Any = getattr(loaded, "after", ())
    for what, names in (("needs", needs), ("after", after)):
        if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
            raise TypeError(f'`{what}` must be a tuple of names, such as ("red",)')
    if unknown := [each for each in needs if each not in NEEDS]:
        raise ValueError(f"`needs` names {', '.join(map(repr, unknown))}; there are: {', '.join(NEEDS)}")
    return DetectorPart(name=name, make=made, needs=needs, after=after)


def in_order(parts: Iterable[DetectorPart]) -> list[DetectorPart]:
    """Parts so that each follows those that it comes `after`; of a circle, in the order given."""
    left = list(parts)
    ordered: list[DetectorPart] = []
    while left:
        waiting = {part.name for part in left}
        part = next((part for part in left if waiting.isdisjoint(part.after)), left[0])
        ordered.append(part)
        left.remove(part)
    return ordered
