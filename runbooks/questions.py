"""The questions of runs: put to humans before the run waits, answered once, and closed when their time is over.

A question is put before the step is recorded as asking, under an id that is its content's. A kill in between puts the
same question again, which changes nothing. What counts is the first row in `run_answers`, whoever writes it: a human,
or the run itself when the time is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from runbooks.journal import Journal
from runbooks.program import Program, program_of
from runbooks.run_rows import Run, RunStep, read_run
from watchkeeper.errors import Conflict, NotFound
from watchkeeper.state.database import Database
from watchkeeper.state.runs import keep_answer
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor, Question


def question_of(run: Run, step: RunStep, program: Program) -> Question:
    """What a step asks now; it may be answered until its own time-out, or the run's if that is sooner."""
    ends = [(run.started_at or run.approved_at) + timedelta(seconds=program.timeout_s)]
    own_s = program.steps[step.number].timeout_s
    if own_s is not None and step.notes.began is not None:
        ends.append(step.notes.began + timedelta(seconds=own_s))
    notes = step.notes
    return Question(
        run=run.id,
        step=step.number,
        asked=notes.asked,
        text=notes.question,
        choices=notes.choices,
        confirm=notes.confirm,
        until=min(ends),
        unanswered=notes.unanswered,
        answerers=run.proposal.approvers,
    )


def open_question(run: Run) -> Question | None:
    """What a run asks now, and waits for. Raises RunbookError where its program cannot be read."""
    step = None if run.is_over else next((step for step in run.steps if step.state == "asking"), None)
    if step is None:
        return None
    return question_of(run, step, program_of(run.proposal, tuple(each.name for each in run.steps)))


class Questions(Protocol):
    """Where the questions of one run go."""

    def ask(self, question: Question) -> None:
        """Put it to humans. The same question again changes nothing."""
        ...

    def close(self, question: Question, text: str) -> None:
        """Nobody may answer any more, for the reason `text`: `unanswered` is the answer, unless there is one."""
        ...


class Follower(Protocol):
    """What the one writer of incidents does for the questions of a run."""

    def run_asked(self, incident_id: str, key: str, *, question: Question) -> object: ...
    def run_unanswered(self, incident_id: str, key: str, *, question: Question, text: str) -> object: ...


class IncidentQuestions:
    """Those of an incident's run: they stand in the incident, which every channel and the dashboard shows."""

    def __init__(self, follower: Follower, incident_id: str, journal: Journal) -> None:
        self._follower = follower
        self._incident_id = incident_id
        self._journal = journal

    def ask(self, question: Question) -> None:
        self._follower.run_asked(self._incident_id, f"asked:{_place(question)}:{question.id}", question=question)

    def close(self, question: Question, text: str) -> None:
        key = f"unanswered:{_place(question)}"
        self._follower.run_unanswered(self._incident_id, key, question=question, text=text)
        # Of a question that the incident knows not, such as one from before an upgrade.
        self._journal.close(question)


class RunQuestions:
    """Those of a run outside an incident: whoever started it reads them."""

    def __init__(self, journal: Journal, notify: Callable[[str, str], None]) -> None:
        self._journal = journal
        self._notify = notify

    def ask(self, question: Question) -> None:
        self._notify(question.asks, f"asked:{_place(question)}")

    def close(self, question: Question, text: str) -> None:
        self._journal.close(question)
        self._notify(text, f"unanswered:{_place(question)}")


def answer_question(db: Database, run_id: str, answer: str, actor: Actor, at: datetime, *, seen: str = "") -> Question:
    """Keep a human's answer to the question that a run outside an incident asks now; the run goes on at once.

    `seen` is the id of the question that they answer; without it they answer whatever is asked.

    Raises:
        NotFound: there is no such run.
        Conflict: it asks nothing or something else, offers another choice, or the time to answer is over.
    """
    run = read_run(db, run_id)
    if run is None:
        raise NotFound(f"there is no run {one_line(run_id, 100)!r}; `watchkeeper runbook history` lists them")
    question = open_question(run)
    if question is None:
        raise Conflict(f"run {run_id} asks nothing now: it is {run.state}")
    if seen and seen != question.id:
        raise Conflict(f"run {run_id} asks something else now: {question.text} Look again, and answer that")
    if answer not in question.choices:
        choices = ", ".join(question.choices)
        raise Conflict(f"{one_line(answer, 50)!r} is no answer to “{question.text}”: choose one of {choices}")
    if question.until and at > question.until:
        raise Conflict(f"the time to answer “{question.text}” ended at {question.until:%H:%M:%S} UTC")
    with db.write() as connection:
        if not keep_answer(connection, question, answer, actor, at):
            raise Conflict(f"run {run_id} was answered already")
    return question


def _place(question: Question) -> str:
    return f"{question.run}:{question.step}:{question.asked}"
