"""The steps that are installed: Watchkeeper's own and those of other packages, by entry point `watchkeeper.steps`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from runbooks.bound import bind, is_typed
from runbooks.step import AnyStep, Inputs
from watchkeeper.errors import RunbookError
from watchkeeper.parts import Registry, read_registry


@cache
def step_registry() -> Registry[AnyStep]:
    """Every step, and those that could not be loaded."""
    return read_registry("step", accept_step)


@cache
def steps() -> Mapping[str, AnyStep]:
    """The steps that could be loaded, by name."""
    return MappingProxyType(step_registry().values())


def accept_step(name: str, part: object) -> AnyStep:
    """A step, or a class that makes one without arguments. Raises ValueError or TypeError for anything else."""
    step: Any = part() if isinstance(part, type) else part
    missing = [method for method in ("plan", "run") if not callable(getattr(step, method, None))]
    if missing:
        raise TypeError(f"step {name} lacks {' and '.join(missing)}; see runbooks.step.Step")
    if is_typed(step):
        return _accept_typed(name, step)
    if not isinstance(getattr(step, "needs", None), frozenset):
        raise TypeError(f"step {name}: `needs` must be a frozenset of the verbs that the target must take")
    if hasattr(step, "undo") and not callable(step.undo):
        raise TypeError(f"step {name}: `undo` must be a method; leave it out where there is no undo")
    return cast("AnyStep", step)


def _accept_typed(name: str, step: Any) -> AnyStep:
    """A step with inputs: pydantic checks them, and its example is valid."""
    if not issubclass(step.inputs, Inputs):
        raise TypeError(f"step {name}: `inputs` must be a subclass of runbooks.step.Inputs")
    methods = ("needs", "repeats", "undo_plan", "undo", "undo_repeats")
    missing = [method for method in methods if not callable(getattr(step, method, None))]
    if missing or not hasattr(step, "reads_only"):
        raise TypeError(
            f"step {name} lacks {', '.join(missing) or 'reads_only'}; derive it from runbooks.step.TypedStep"
        )
    if not isinstance(getattr(step, "example", None), Mapping):
        raise TypeError(f"step {name}: `example` must be a mapping of inputs that are valid")
    try:
        bind(name, step.example, {name: step})
    except RunbookError as error:
        raise ValueError(f"its example is not valid: {error.message}") from error
    return cast("AnyStep", step)
