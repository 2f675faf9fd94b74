"""What a kind of evidence contributes to one candidate, before the engine weighs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from watchkeeper.vocabulary import Mechanism

NO_HINTS: Mapping[Mechanism, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`strength` is the share of this kind's signal that the candidate explains, shrunk by doubt; negative against it.

    The strengths of one kind on one candidate add up to -1 to 1. `hints` vote for mechanisms. The rest is what a human
    reads and plots.
    """

    kind: str
    candidate: str
    strength: float
    sentence: str
    signal: str = ""
    value: float | None = None
    expected: float | None = None
    unit: str = ""
    operation: str | None = None
    metric: str | None = None
    change_id: str | None = None
    hints: Mapping[Mechanism, float] = field(default_factory=lambda: NO_HINTS)


def count(number: float, noun: str) -> str:
    """`1 call`, `12 calls`."""
    return f"{number:.0f} {noun}" if round(number) == 1 else f"{number:.0f} {noun}s"


def clock(at: float) -> str:
    """A time of day, UTC: `03:12:05`."""
    day = int(at) % 86400
    return f"{day // 3600:02d}:{day // 60 % 60:02d}:{day % 60:02d}"
