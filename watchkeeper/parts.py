"""Parts: detectors, evidence, channels and the other things that Watchkeeper is extended with, found by entry point.

Built-in parts are declared in Watchkeeper's own pyproject.toml, in the same groups as those of other packages. Each
package has a `registry.py` that reads its group here, and says what a part of its kind must be. A part that cannot be
loaded is named with its reason and left out; the others are not affected.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from watchkeeper.text import one_line

T = TypeVar("T")

OWN_DISTRIBUTION: Final = "watchkeeper"
# Names stand in configuration files, commands and addresses of pages.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# The kinds of part, each with its entry point group.
GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "source": "watchkeeper.sources",
        "detector": "watchkeeper.detectors",
        "evidence": "watchkeeper.evidence",
        "channel": "watchkeeper.channels",
        "step": "watchkeeper.steps",
        "target": "watchkeeper.targets",
        "fault": "watchkeeper.faults",
        "agent_fault": "watchkeeper.agent_faults",
        "agent_finder": "watchkeeper.agent_finders",
        "page": "watchkeeper.pages",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[T]):
    """One part that was loaded.

    Attributes:
        name: the entry point's name, by which configuration and commands refer to the part.
        origin: the distribution that declares it, with its version: `watchkeeper 0.1.0`.
        summary: the first line of its docstring.
        value: what the package's registry made of the entry point's object.
    """

    kind: str
    name: str
    version: str
    origin: str
    summary: str
    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPart:
    """A part that could not be loaded, and the reason."""

    kind: str
    name: str
    origin: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry(Generic[T]):
    """The parts of one kind by name, Watchkeeper's own first, and those that could not be loaded."""

    kind: str
    parts: Mapping[str, Part[T]]
    broken: tuple[BrokenPart, ...]

    def values(self) -> dict[str, T]:
        """The loaded parts' values by name."""
        return {name: part.value for name, part in self.parts.items()}

    def broken_named(self, name: str) -> BrokenPart | None:
        """The part of a name that could not be loaded."""
        return next((part for part in self.broken if part.name == name), None)


def read_registry(
    kind: str, accept: Callable[[str, object], T], declared: Iterable[EntryPoint] | None = None
) -> Registry[T]:
    """Load every part of one kind.

    Args:
        kind: a key of `GROUPS`.
        accept: makes a part from its name and the entry point's object. Raises ValueError or TypeError, with what is
            missing, for an object that is no part of this kind.
        declared: entry points to use instead of the installed ones, for tests.
    """
    points = entry_points(group=GROUPS[kind]) if declared is None else declared
    parts: dict[str, Part[T]] = {}
    broken: list[BrokenPart] = []
    for point in sorted(points, key=_order):
        origin = _origin(point)
        reason = _refused_name(point.name, parts)
        if not reason:
            try:
                loaded = point.load()
                value = accept(point.name, loaded)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a package dies of, the others are needed
                reason = one_line(f"{point.value}: {type(error).__name__}: {error}")
        if reason:
            broken.append(BrokenPart(kind=kind, name=one_line(point.name), origin=origin, reason=reason))
            continue
        parts[point.name] = Part(
            kind=kind,
            name=point.name,
            version=str(getattr(loaded, "version", "") or (point.dist.version if point.dist else "")),
            origin=origin,
            summary=_summary(loaded),
            value=value,
        )
    return Registry(kind=kind, parts=MappingProxyType(parts), broken=tuple(broken))


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    """Watchkeeper's own parts first; then by name, and by distribution where two have the same name."""
    distribution = point.dist.name if point.dist else ""
    return (distribution != OWN_DISTRIBUTION, point.name, distribution)


def _refused_name(name: str, taken: Mapping[str, Part[T]]) -> str:
    """Why a part cannot have its name; empty if it can."""
    if not _NAME.fullmatch(name):
        return f"the name {one_line(name)!r} may hold letters, digits, `.`, `_` and `-` only; choose another"
    if name in taken:
        return f"the name {name!r} is taken by {taken[name].origin}; choose another"
    return ""


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _summary(loaded: object) -> str:
    """The first line of an object's docstring; of a record's, its function's or its module's."""
    described = getattr(loaded, "described_by", loaded)
    text = inspect.getdoc(described) or ""
    first = text.strip().partition("\n")[0]
    return one_line(first) if first else ""
