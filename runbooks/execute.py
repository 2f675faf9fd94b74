"""Does a run's steps in order, each recorded before and after; undoes what can be undone when one fails.

    planned ─► running ─► done ─────────────► undoing ─► undone | kept (no undo) | stuck (its undo failed)
       │          ├─► waiting, asking ─► running
       ▼          └─► failed, unsure: the run turns back, in the same transaction
    skipped

A run that has turned back never goes forward again. A step is asked of the target under one key, however often: the
target does it once. A step that can't be asked again and may have happened asks a human. Whoever waits, for a human or
for a query, gives the run back meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar

import structlog
from prometheus_client import Counter

from runbooks.bound import BoundStep, bind
from runbooks.condition import holds, read_condition
from runbooks.facts import run_facts
from runbooks.journal import Journal
from runbooks.library import Library
from runbooks.placeholders import fill
from runbooks.program import Program, StepSpec, program_of
from runbooks.questions import Questions, RunQuestions, question_of
from runbooks.registry import steps
from runbooks.run_rows import Reply, Run, RunStep
from runbooks.step import NOBODY, AnyStep, Ask, Call, Done, Surroundings, Wait
from runbooks.wording import plan_sentences
from watchkeeper.errors import RunbookError, StoreError, TargetError, UnsureError, WatchkeeperError
from watchkeeper.target import Target
from watchkeeper.vocabulary import Proposal

log = structlog.get_logger()
T = TypeVar("T")
RUNS = Counter("watchkeeper_runbook_runs", "Runbook runs that ended.", ["runbook", "result"])
# Pauses before asking again, in seconds, where the target says that this can help. The key is the same, so a
# request whose answer was lost is not done twice.
AGAIN_AFTER_S: Final = (0.5, 2.0)
# A question is looked at anew so often; an answer lets the run go on at once, unless somebody has it this moment.
LOOK_EVERY_S: Final = 5.0
HAPPENED, AGAIN, STOP = "happened", "again", "stop"
UNCERTAIN_CHOICES: Final = (HAPPENED, AGAIN, STOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended, one sentence a step."""

    succeeded: bool
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The run waits: it is to be taken up again after so many seconds, by anybody."""

    seconds: float


# What became of a step: the run goes on, turns back, or waits.
Move = Literal["on", "back"] | Parked


class _MayHaveHappenedError(RunbookError):
    """What failed may have happened all the same, and can't be asked again."""


def dry_run(proposal: Proposal, target: Target, library: Library) -> Result:
    """Describe what a run would do now. Touches nothing. A run that would be refused gives the reason."""
    try:
        book = library.book_for(proposal)
        status = target.status(proposal.service)
        sentences = plan_sentences(book.program, proposal.service, proposal.arguments, status)
    except (RunbookError, TargetError) as error:
        return Result(succeeded=False, sentences=(error.message,))
    return Result(succeeded=True, sentences=sentences)


def describe(run: Run) -> Result:
    """Describe a run's steps: forward in order, then what was undone, last first."""
    failed = ("failed", "unsure")
    ahead = [
        f"{s.name} failed: {s.detail}" if s.state in failed else s.detail
        for s in run.steps
        if s.detail and s.state != "skipped"
    ]
    back = [step.undone for step in reversed(run.steps) if step.undone]
    return Result(succeeded=run.state in ("running", "done"), sentences=(*ahead, *back))


class Executor:
    """Carries out what its holder's journal contains. `sleep` waits between two tries of a step."""

    def __init__(
        self,
        target: Target,
        journal: Journal,
        known: Mapping[str, AnyStep] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        around: Surroundings | None = None,
        questions: Questions | None = None,
    ) -> None:
        """`questions` is where those to humans go; by default, to whoever the surroundings notify."""
        self._target = target
        self._journal = journal
        self._steps = steps() if known is None else known
        self._sleep = sleep
        self._around = replace(around or Surroundings(), now=journal.now)
        self._questions = questions or RunQuestions(journal, self._around.notify)

    def carry_out(self) -> Result | Parked:
        """Do what is left of a run that has begun, or of its undoing, until it ends or must wait.

        Returns how it ended; the caller records that.

        Raises:
            Conflict: the lease was lost, and somebody else goes on with the run.
        """
        run = self._journal.read()
        program = program_of(run.proposal, tuple(step.name for step in run.steps))
        if run.state != "undoing":
            for number in range(len(run.steps)):
                move = self._forward(self._journal.read(), program, number)
                if isinstance(move, Parked):
                    return move
                if move == "back":
                    break
        run = self._journal.read()
        if run.state == "undoing":
            for step in reversed(run.steps):
                if step.state in ("done", "unsure", "undoing"):
                    self._undo(run, program, step)
            run = self._journal.read()
        RUNS.labels(run.proposal.runbook, "done" if run.state == "running" else "failed").inc()
        return describe(run)

    # Forward

    def _forward(self, run: Run, program: Program, number: int) -> Move:
        """Take one step as far as it goes now."""
        step, spec = run.steps[number], program.steps[number]
        if step.state in ("done", "skipped"):
            return "on"
        now = self._journal.now()
        if step.state != "running" and (why := self._why_turn(run, program)):
            if step.state == "asking":
                self._questions.close(question_of(run, step, program), f"{why}: nobody needs to answer any more")
            return self._fail(run, step, why)
        if step.state == "planned" and not holds(spec.when, run_facts(run, program)):
            self._journal.write(step, "skipped", f"not needed: not so that {read_condition(spec.when)}")
            return "on"
        try:
            bound, step = self._bound(run, program, step)
        except RunbookError as error:
            return self._fail(run, step, error.message)
        if step.notes.began is None:
            step = replace(step, notes=replace(step.notes, began=now))
        left = self._seconds_left(spec, step)
        step, answer, move = self._answered(run, program, step, bound, left)
        if move is not None:
            return move
        # An answer that was given in time counts, however late the run looks.
        if answer is None and left is not None and left <= 0:
            return self._fail(run, step, f"it did not succeed within {spec.timeout_s:g} s: {step.detail or 'no news'}")
        step = self._journal.write(step, "running", step.detail, notes=step.notes)
        call = Call(
            target=self._target,
            service=_service(run, spec),
            given=bound.given,
            key=_key(run, step),
            around=self._around,
            began=step.notes.began or now,
            answer=answer.answer if answer else "",
            answered_by=_answerer(answer),
            seconds_left=left,
        )
        return self._run(run, program, step, bound, call)

    def _answered(
        self, run: Run, program: Program, step: RunStep, bound: BoundStep, left: float | None
    ) -> tuple[RunStep, Reply | None, Move | None]:
        """The step with the answer to its own question, or what follows from a question that is open or was ours."""
        spec = program.steps[step.number]
        asked = step.notes.asked and step.state in ("asking", "running")
        answer = self._journal.reply(step) if asked else None
        if step.state == "running":
            lost = None if bound.repeats else self._ask_whether(run, program, step, "it was interrupted")
            return step, answer, lost
        if step.state != "asking":
            return step, None, None
        if answer is None:
            if left is None or left > 0:
                return step, None, Parked(seconds=LOOK_EVERY_S)
            why = f"nobody answered “{step.notes.question}” within {spec.timeout_s:g} s"
            question = question_of(run, step, program)
            self._questions.close(question, f"{why}: {question.otherwise}")
            answer = self._journal.reply(step)  # somebody's after all, or what counts in its place
            if answer is None or not answer.answer:
                return step, None, self._fail(run, step, why)
        if not step.notes.uncertain:
            return step, answer, None
        if answer.answer == HAPPENED:
            text = f"{bound.plan(_service(run, spec), None)}: it happened, says {answer.actor.name}"
            self._journal.write(step, "done", text)
            return step, None, "on"
        if answer.answer == STOP:
            self._journal.write(step, "unsure", f"{step.detail}; {answer.actor.name} stopped the run", back=True)
            return step, None, "back"
        again = replace(step, notes=replace(step.notes, key=step.notes.key + 1, uncertain=False))
        return again, None, None

    def _run(self, run: Run, program: Program, step: RunStep, bound: BoundStep, call: Call[Any]) -> Move:
        """Ask the step itself, and record what became of it."""
        facts = {"run": run.id, "runbook": run.proposal.runbook, "step": step.name, "service": call.service}
        try:
            did = self._ask(lambda: bound.run(call), again=bound.repeats)
        except _MayHaveHappenedError as error:
            log.warning("runbook.step.uncertain", **facts, error=error.message)
            return self._ask_whether(run, program, step, error.message)
        except (RunbookError, TargetError, StoreError) as error:
            log.warning("runbook.step.failed", **facts, error=error.message)
            return self._failed(program.steps[step.number], step, error)
        match did:
            case Done():
                notes = replace(step.notes, outputs=dict(did.outputs))
                self._journal.write(step, "done", did.text, notes=notes)
                log.info("runbook.step.done", **facts, did=did.text)
                return "on"
            case Wait():
                self._journal.write(step, "waiting", did.why)
                return Parked(seconds=did.again_s)
            case Ask():
                return self._put(run, program, step, did, uncertain=False)

    def _failed(self, spec: StepSpec, step: RunStep, error: WatchkeeperError) -> Move:
        """An attempt failed: the next one follows after a pause, or the run turns back."""
        tries = step.notes.tries + 1
        if tries <= spec.retries.times:
            # What certainly did not happen gets a new key: a target answers the old one with the old refusal.
            key = step.notes.key + (0 if error.retry else 1)
            self._journal.write(step, "waiting", error.message, notes=replace(step.notes, tries=tries, key=key))
            return Parked(seconds=spec.retries.pause_before(tries))
        self._journal.write(step, "unsure" if error.retry else "failed", error.message, back=True)
        return "back"

    def _fail(self, run: Run, step: RunStep, why: str) -> Move:
        """The step does not go on. What was tried before and may have happened is undone, too."""
        log.warning("runbook.step.failed", run=run.id, step=step.name, error=why)
        unsure = step.state in ("running", "waiting") or (step.state == "asking" and step.notes.uncertain)
        self._journal.write(step, "unsure" if unsure else "failed", why, back=True)
        return "back"

    def _ask_whether(self, run: Run, program: Program, step: RunStep, why: str) -> Move:
        """A human looks whether something happened that can't be asked again."""
        question = f"Did {step.name} happen? {why}, and doing it twice could do harm."
        ask = Ask(question=question, choices=UNCERTAIN_CHOICES, confirm=(AGAIN,))
        return self._put(run, program, step, ask, uncertain=True)

    def _put(self, run: Run, program: Program, step: RunStep, ask: Ask, *, uncertain: bool) -> Move:
        """Put a question to humans, and wait. They have it before the step waits: a kill in between asks it again."""
        notes = replace(
            step.notes,
            question=ask.question,
            choices=tuple(ask.choices),
            confirm=tuple(ask.confirm),
            unanswered=ask.unanswered,
            asked=step.notes.asked + 1,
            uncertain=uncertain,
        )
        self._questions.ask(question_of(run, replace(step, notes=notes), program))
        self._journal.write(step, "asking", ask.question, notes=notes)
        return Parked(seconds=LOOK_EVERY_S)

    def _why_turn(self, run: Run, program: Program) -> str:
        """Why the run may not go forward any more; empty: it may."""
        if run.autonomous and self._journal.is_stopped():
            return "everything was stopped, and no human approved this run"
        began = run.started_at or run.approved_at
        if (self._journal.now() - began).total_seconds() > program.timeout_s:
            return f"the run took longer than {program.timeout_s:g} s"
        return ""

    def _seconds_left(self, spec: StepSpec, step: RunStep) -> float | None:
        if spec.timeout_s is None or step.notes.began is None:
            return None
        return spec.timeout_s - (self._journal.now() - step.notes.began).total_seconds()

    # Back

    def _undo(self, run: Run, program: Program, step: RunStep) -> None:
        spec = program.steps[step.number]
        did = f"{step.name} failed: {step.detail}" if step.state == "unsure" else step.detail
        try:
            bound, step = self._bound(run, program, step)
        except RunbookError as error:
            self._journal.write(step, "stuck", did, undone=f"undoing {step.name} failed: {error.message}")
            return
        if not bound.can_undo:
            silent = bound.reads_only or step.state == "unsure"
            undone = "" if silent else f"{step.name} stays as it is: it has no undo by machine"
            self._journal.write(step, "kept", did, undone=undone)
            return
        if step.state == "undoing" and not bound.undo_repeats:
            undone = f"undoing {step.name} was interrupted and may have happened: look, and finish it by hand"
            self._journal.write(step, "stuck", did, undone=undone)
            return
        step = self._journal.write(step, "undoing", did)
        call = Call(
            target=self._target,
            service=_service(run, spec),
            given=bound.given,
            key=f"{_key(run, step)}:undo",
            around=self._around,
            began=step.at,
        )
        try:
            undone = self._ask(lambda: bound.undo(call), again=bound.undo_repeats)
        except (RunbookError, TargetError, StoreError) as error:
            log.warning("runbook.undo.failed", run=run.id, step=step.name, error=error.message)
            self._journal.write(step, "stuck", did, undone=f"undoing {step.name} failed: {error.message}")
            return
        self._journal.write(step, "undone", did, undone=undone)

    # Both ways

    def _bound(self, run: Run, program: Program, step: RunStep) -> tuple[BoundStep, RunStep]:
        """The step with its inputs: those of its first attempt, or filled now. Raises RunbookError."""
        spec = program.steps[step.number]
        inputs = step.notes.inputs
        if inputs is None:
            inputs = fill(dict(spec.inputs), run_facts(run, program))
        bound = bind(spec.kind, inputs, self._steps)
        return bound, replace(step, notes=replace(step.notes, inputs=inputs))

    def _ask(self, ask: Callable[[], T], *, again: bool) -> T:
        """Ask the target, again where that can help. Any exception of a step is a failed step; the run turns back.

        Raises:
            _MayHaveHappenedError: it failed half way, and can't be asked again.
        """
        for pause_s in (*AGAIN_AFTER_S, None):
            try:
                return ask()
            except UnsureError as error:
                raise _MayHaveHappenedError(error.message) from error
            except (RunbookError, TargetError, StoreError) as error:
                if error.retry and not again:
                    raise _MayHaveHappenedError(error.message) from error
                if pause_s is None or not error.retry:
                    raise
            except WatchkeeperError as error:  # a secret that is not set, and other matters of our own
                raise RunbookError(error.message) from error
            except Exception as error:
                log.exception("runbook.step.crashed")
                message = f"the step itself failed: {type(error).__name__}: {error}"
                raise (RunbookError(message, retry=True) if again else _MayHaveHappenedError(message)) from error
            self._sleep(pause_s)
            self._journal.hold()  # somebody else may have gone on with the run meanwhile
        raise AssertionError("unreachable")


def _answerer(answer: Reply | None) -> str:
    if answer is None:
        return ""
    return NOBODY.name if answer.actor.via == NOBODY.via else answer.actor.name


def _service(run: Run, spec: StepSpec) -> str:
    return spec.service or run.proposal.service


def _key(run: Run, step: RunStep) -> str:
    number = f":{step.notes.key}" if step.notes.key else ""
    return f"{run.id}:{step.number}:{step.name}{number}"
