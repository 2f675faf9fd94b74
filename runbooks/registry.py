"""The steps that are installed: Watchkeeper's own and those of other packages, by entry point `watchkeeper.steps`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from runbooks.step import Step
from watchkeeper.parts import Registry, read_registry


@cache
def step_registry() -> Registry[Step]:
    """Every step, and those that could not be loaded."""
    return read_registry("step", accept_step)


@cache
def steps() -> Mapping[str, Step]:
    """The steps that could be loaded, by name."""
    return MappingProxyType(step_registry().values())


def accept_step(name: str, part: object) -> Step:
    """A step, or a class that makes one without arguments. Raises ValueError or TypeError for anything else."""
    step: Any = part() if isinstance(part, type) else part
    missing = [method for method in ("plan", "run") if not callable(getattr(step, method, None))]
    if missing:
        raise TypeError(f"step {name} lacks {' and '.join(missing)}; see runbooks.step.Step")
    if not isinstance(getattr(step, "needs", None), frozenset):
        raise TypeError(f"step {name}: `needs` must be a frozenset of the verbs that the target must take")
    if hasattr(step, "undo") and not callable(step.undo):
        raise TypeError(f"step {name}: `undo` must be a method; leave it out where there is no undo")
    return cast("Step", step)
