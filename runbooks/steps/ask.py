"""The step `ask`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from runbooks.step import NO, YES, Ask, Call, Done, Inputs, TypedStep
from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus

Choice = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class AskInputs(Inputs):
    """A question, its answers, and those of them with which the run turns back."""

    question: Annotated[str, Field(min_length=1, max_length=500)]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=8)] = (YES, NO)
    stop_on: tuple[Choice, ...] = (NO,)

    @model_validator(mode="after")
    def _stops_on_a_choice(self) -> Self:
        if unknown := set(self.stop_on) - set(self.choices):
            raise ValueError(f"stop_on: {', '.join(sorted(unknown))} is none of the choices {', '.join(self.choices)}")
        return self


class AskHuman(TypedStep[AskInputs]):
    """Ask whoever is on the incident, and wait for the answer.

    `watchkeeper runbook answer` gives it. Later steps can use `{outputs.<id>.answer}`.
    """

    inputs = AskInputs
    example: ClassVar = {"question": "Is the nightly batch over?"}
    reads_only = True

    def plan(self, given: AskInputs, service: str, status: ServiceStatus | None) -> str:
        del service, status
        return f"ask a human: {' '.join(given.question.split())} ({', '.join(given.choices)})"

    def run(self, call: Call[AskInputs]) -> Done | Ask:
        if not call.answer:
            return Ask(question=" ".join(call.given.question.split()), choices=call.given.choices)
        if call.answer in call.given.stop_on:
            raise RunbookError(f"{call.answered_by} answered {call.answer}")
        outputs: dict[str, Any] = {"answer": call.answer, "by": call.answered_by}
        return Done(text=f"{call.answered_by} answered {call.answer}", outputs=outputs)
