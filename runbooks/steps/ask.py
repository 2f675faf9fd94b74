"""The step `ask`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from runbooks.step import NO, NOBODY, YES, Ask, Call, Done, Inputs, TypedStep
from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus

Choice = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class AskInputs(Inputs):
    """A question, its answers, and those of them with which the run turns back.

    The answers in `confirm` are asked about once more before they count. `unanswered` is the answer that counts if
    nobody answers within the step's `timeout_s`; without it, the step fails then.
    """

    question: Annotated[str, Field(min_length=1, max_length=500)]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=8)] = (YES, NO)
    stop_on: tuple[Choice, ...] = (NO,)
    confirm: tuple[Choice, ...] = ()
    unanswered: Choice | None = None

    @model_validator(mode="after")
    def _names_choices(self) -> Self:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices: {', '.join(self.choices)} has one of them twice")
        named = {"stop_on": self.stop_on, "confirm": self.confirm, "unanswered": (self.unanswered,)}
        for key, given in named.items():
            if unknown := {each for each in given if each} - set(self.choices):
                choices = ", ".join(self.choices)
                raise ValueError(f"{key}: {', '.join(sorted(unknown))} is none of the choices {choices}")
        return self


class AskHuman(TypedStep[AskInputs]):
    """Ask whoever is on the incident, and wait for the answer.

    A button in Slack or on the incident's page gives it, or `watchkeeper runbook answer`. Later steps can use
    `{outputs.<id>.answer}`.
    """

    inputs = AskInputs
    example: ClassVar = {"question": "Is the nightly batch over?"}
    reads_only = True

    def plan(self, given: AskInputs, service: str, status: ServiceStatus | None) -> str:
        del service, status
        return f"ask a human: {' '.join(given.question.split())} ({', '.join(given.choices)})"

    def run(self, call: Call[AskInputs]) -> Done | Ask:
        if not call.answer:
            return Ask(
                question=" ".join(call.given.question.split()),
                choices=call.given.choices,
                confirm=call.given.confirm,
                unanswered=call.given.unanswered or "",
            )
        answered = f"{call.answered_by} answered {call.answer}"
        if call.answered_by == NOBODY.name:
            answered = f"nobody answered in time, which counts as {call.answer}"
        if call.answer in call.given.stop_on:
            raise RunbookError(answered)
        outputs: dict[str, Any] = {"answer": call.answer, "by": call.answered_by}
        return Done(text=answered, outputs=outputs)
