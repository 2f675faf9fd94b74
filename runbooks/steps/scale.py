"""The step `scale`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus

Instances = Annotated[int, Field(ge=0, le=1000)]


class ScaleInputs(Inputs):
    """`to` is how many instances are wanted, `back_to` how many the undo asks for; without, there is no undo."""

    to: Instances
    back_to: Instances | None = None


class Scale(TypedStep[ScaleInputs]):
    """Run another number of a service's instances.

    A target refuses a number that its owner did not allow.
    """

    inputs = ScaleInputs
    example: ClassVar = {"to": 4, "back_to": 2}

    def needs(self, given: ScaleInputs) -> frozenset[str]:
        del given
        return frozenset({"scale"})

    def plan(self, given: ScaleInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        return f"run {given.to} instances of {service}"

    def run(self, call: Call[ScaleInputs]) -> Done:
        text = call.target.act(call.service, "scale", key=call.key, arguments=_instances(call.given.to))
        return Done(text=text, outputs={"instances": call.given.to})

    def undo_plan(self, given: ScaleInputs, service: str) -> str:
        return "" if given.back_to is None else f"run {given.back_to} instances of {service}"

    def undo(self, call: Call[ScaleInputs]) -> str:
        if call.given.back_to is None:
            return super().undo(call)
        return call.target.act(call.service, "scale", key=call.key, arguments=_instances(call.given.back_to))


def _instances(number: int) -> dict[str, Any]:
    return {"replicas": number}
