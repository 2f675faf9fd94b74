"""The step `toggle-flag`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus


class FlagInputs(Inputs):
    """The flag's name, the value that it gets, and the value that the undo gives it; without, there is no undo."""

    flag: Annotated[str, Field(min_length=1, max_length=200)]
    value: str | bool | int
    back_to: str | bool | int | None = None


class ToggleFlag(TypedStep[FlagInputs]):
    """Set a feature flag of a service, through the target's verb `flag`.

    What a flag does is its owner's business: read the blast radius before you approve.
    """

    inputs = FlagInputs
    example: ClassVar = {"flag": "new-checkout", "value": False, "back_to": True}

    def needs(self, given: FlagInputs) -> frozenset[str]:
        del given
        return frozenset({"flag"})

    def plan(self, given: FlagInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        return f"set the flag {given.flag} of {service} to {_shown(given.value)}"

    def run(self, call: Call[FlagInputs]) -> Done:
        return Done(text=_set(call, call.given.value), outputs={"value": call.given.value})

    def undo_plan(self, given: FlagInputs, service: str) -> str:
        if given.back_to is None:
            return ""
        return f"set the flag {given.flag} of {service} to {_shown(given.back_to)}"

    def undo(self, call: Call[FlagInputs]) -> str:
        return super().undo(call) if call.given.back_to is None else _set(call, call.given.back_to)


def _set(call: Call[FlagInputs], value: str | bool | int) -> str:
    arguments = {"flag": call.given.flag, "value": value}
    return call.target.act(call.service, "flag", key=call.key, arguments=arguments)


def _shown(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
