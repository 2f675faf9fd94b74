"""The questions that a runbook's run asks in an incident, and their answers: one for each, by whoever is first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from watchkeeper.vocabulary import Actor, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and what became of it: `ended` is a sentence, empty while it is open."""

    question: Question
    answer: str = ""
    answered_by: Actor | None = None
    ended_at: datetime | None = None
    ended: str = ""

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


def named(questions: Sequence[Asked], question_id: str) -> Asked | None:
    """The question of an id."""
    return next((asked for asked in questions if asked.question.id == question_id), None)


def is_known(questions: Sequence[Asked], question: Question) -> bool:
    """Whether it stands there already, or has its answer in other words."""
    return any(
        asked.question.id == question.id or (_turn(asked.question) == _turn(question) and not asked.is_open)
        for asked in questions
    )


def with_question(questions: Sequence[Asked], question: Question, actor: Actor, at: datetime) -> tuple[Asked, ...]:
    """The questions with one more. A run asks one at a time: what it asked before is over."""
    before = [each.question.id for each in questions if each.is_open and each.question.run == question.run]
    known = tuple(questions)
    for question_id in before:
        known = ended(known, question_id, "", actor, at, "asked anew, in other words")
    return (*known, Asked(question=question))


def _turn(question: Question) -> tuple[str, int, int]:
    return question.run, question.step, question.asked


def open_questions(questions: Sequence[Asked]) -> tuple[Asked, ...]:
    """Those that wait for an answer."""
    return tuple(asked for asked in questions if asked.is_open)


def refused_answer(questions: Sequence[Asked], seen: str, answer: str, at: datetime) -> str:
    """Why an answer to the question that somebody saw does not count; empty: it does."""
    asked = named(questions, seen)
    if asked is None or not asked.is_open:
        now = open_questions(questions)
        other = f"; now the runbook asks: {now[-1].question.text}" if now else ""
        if asked is None:
            return "the runbook asks no such question" + (other or ", and none at all now")
        return f"that question is over since {asked.ended_at:%H:%M:%S} UTC: {asked.ended}{other}"
    question = asked.question
    if answer not in question.choices:
        return f"{answer!r} is no answer to “{question.text}”: choose one of {', '.join(question.choices)}"
    if question.until and at > question.until:
        return f"the time to answer ended at {question.until:%H:%M:%S} UTC; {question.otherwise}"
    return ""


def ended(
    questions: Sequence[Asked], seen: str, answer: str, actor: Actor, at: datetime, text: str
) -> tuple[Asked, ...]:
    """The questions after the one of id `seen` has ended; an empty id ends all that are open."""
    return tuple(
        replace(asked, answer=answer, answered_by=actor if answer else None, ended_at=at, ended=text)
        if asked.is_open and seen in ("", asked.question.id)
        else asked
        for asked in questions
    )
