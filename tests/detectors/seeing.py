"""What a detector sees at one tick, for tests that feed its histories themselves."""

from __future__ import annotations

from typing import Any

from detectors.detector import Seen
from detectors.history import History
from watchkeeper.vocabulary import utc


def seen(at: float, complete: int | None = None, /, **histories: History | Any) -> Seen:
    """At a Unix time: histories by name, of which so many columns are complete (all, unless said otherwise)."""
    rings = {name: ring for name, ring in histories.items() if isinstance(ring, History)}
    others = {name: value for name, value in histories.items() if name not in rings}
    columns = {name: ring.buckets if complete is None else complete for name, ring in rings.items()}
    return Seen(now=utc(at), histories=rings, complete=columns, **others)
