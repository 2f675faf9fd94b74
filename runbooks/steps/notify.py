"""The step `notify`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus


class NotifyInputs(Inputs):
    """What is said."""

    text: Annotated[str, Field(min_length=1, max_length=1000)]


class Notify(TypedStep[NotifyInputs]):
    """Say something in the incident: its timeline, and the thread in every channel.

    A run outside an incident says it where it was started.
    """

    inputs = NotifyInputs
    example: ClassVar = {"text": "Restarting {service}: expect a few failed requests."}
    reads_only = True

    def plan(self, given: NotifyInputs, service: str, status: ServiceStatus | None) -> str:
        del service, status
        return f"say: {' '.join(given.text.split())}"

    def run(self, call: Call[NotifyInputs]) -> Done:
        text = " ".join(call.given.text.split())
        call.around.notify(text, call.key)
        return Done(text=f"said: {text}")
