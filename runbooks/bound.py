"""A step together with its inputs: one interface for those that have inputs and those that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic import ValidationError

from runbooks.step import AnyStep, Ask, Call, Done, Inputs, Step, TypedStep, Undoable, Wait
from watchkeeper.config_messages import plain
from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus


def is_typed(step: AnyStep) -> TypeGuard[TypedStep[Any]]:
    """Whether a step has inputs."""
    return isinstance(getattr(step, "inputs", None), type)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundStep:
    """A step and its validated inputs."""

    kind: str
    step: AnyStep
    given: Inputs

    @property
    def needs(self) -> frozenset[str]:
        return self.step.needs(self.given) if is_typed(self.step) else _plain(self.step).needs

    @property
    def reads_only(self) -> bool:
        return self.step.reads_only if is_typed(self.step) else not _plain(self.step).needs and not self.can_undo

    @property
    def repeats(self) -> bool:
        """A step without inputs always does: its target does a key once."""
        return self.step.repeats(self.given) if is_typed(self.step) else True

    @property
    def undo_repeats(self) -> bool:
        return self.step.undo_repeats(self.given) if is_typed(self.step) else True

    @property
    def can_undo(self) -> bool:
        return bool(self.undo_plan("it"))

    def undo_plan(self, service: str) -> str:
        """What undoing it would do; empty: no machine can."""
        if is_typed(self.step):
            return self.step.undo_plan(self.given, service)
        return f"take back {self.kind} of {service}" if isinstance(self.step, Undoable) else ""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        if is_typed(self.step):
            return self.step.plan(self.given, service, status)
        return _plain(self.step).plan(service, status)

    def run(self, call: Call[Any]) -> Done | Wait | Ask:
        if is_typed(self.step):
            return self.step.run(call)
        return Done(text=_plain(self.step).run(call.target, call.service, call.key))

    def undo(self, call: Call[Any]) -> str:
        if is_typed(self.step):
            return self.step.undo(call)
        if not isinstance(self.step, Undoable):
            raise RunbookError(f"{self.kind} has no undo")
        return self.step.undo(call.target, call.service, call.key)


class NoInputs(Inputs):
    """Of a step that takes none."""


def _plain(step: AnyStep) -> Step:
    if is_typed(step):
        raise TypeError("this step has inputs")
    return step  # type: ignore[return-value]  # what has no inputs is a Step: the registry saw to it


def bind(kind: str, inputs: Mapping[str, Any], known: Mapping[str, AnyStep]) -> BoundStep:
    """A step of that name with these inputs.

    Raises:
        RunbookError: there is no such step, or it does not take them.
    """
    step = known.get(kind)
    if step is None:
        raise RunbookError(f"there is no step {kind!r}; there are {', '.join(known)}")
    if not is_typed(step):
        if inputs:
            raise RunbookError(f"{kind} takes no inputs, not {', '.join(inputs)}")
        return BoundStep(kind=kind, step=step, given=NoInputs())
    try:
        return BoundStep(kind=kind, step=step, given=step.inputs.model_validate(dict(inputs)))
    except ValidationError as error:
        mistakes = "; ".join(_mistake(kind, each) for each in error.errors())
        raise RunbookError(mistakes) from error


def _mistake(kind: str, error: Any) -> str:
    return f"{'.'.join(str(part) for part in (kind, *error['loc']))}: {plain(error)}"
