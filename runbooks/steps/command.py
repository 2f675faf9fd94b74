"""The step `command`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class CommandInputs(Inputs):
    """The name of a command on the agent's list, and of the one that takes it back; without, there is no undo."""

    name: Name
    undo: Name | None = None


class Command(TypedStep[CommandInputs]):
    """Run a command by name, from the list that the agent's file allows for the service.

    What the command does stands in that file alone: a runbook can't bring one of its own.
    """

    inputs = CommandInputs
    example: ClassVar = {"name": "flush-cache", "undo": "fill-cache"}

    def needs(self, given: CommandInputs) -> frozenset[str]:
        del given
        return frozenset({"command"})

    def plan(self, given: CommandInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        return f"run the command {given.name} on the host of {service}"

    def run(self, call: Call[CommandInputs]) -> Done:
        return Done(text=_run(call, call.given.name))

    def undo_plan(self, given: CommandInputs, service: str) -> str:
        return f"run the command {given.undo} on the host of {service}" if given.undo else ""

    def undo(self, call: Call[CommandInputs]) -> str:
        return _run(call, call.given.undo) if call.given.undo else super().undo(call)


def _run(call: Call[CommandInputs], name: str) -> str:
    return call.target.act(call.service, "command", key=call.key, arguments={"name": name})
