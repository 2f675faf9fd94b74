"""Random runbooks, failures, lost answers and kills: no effect twice, every run ends, nothing half done is left."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_runs import FATES, TEMPERS, Fickle
from run_parts import ANA, DeadlyDatabase, Killed

from runbooks.library import Library
from runbooks.policy import Policy
from runbooks.program import Program, Retries, StepSpec, program_text
from runbooks.questions import answer_question
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run, RunStep, read_run, reply_of
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from watchkeeper.clock import FrozenClock
from watchkeeper.state.database import Database
from watchkeeper.state.runs import add_run
from watchkeeper.vocabulary import Proposal

LEASE = timedelta(seconds=10)
MOST_TURNS = 400
NUMBERS = itertools.count()

STEPS = st.builds(
    lambda kind, times, when: (kind, times, when),
    st.sampled_from(sorted(TEMPERS)),
    st.integers(0, 2),
    st.sampled_from([None, None, {"mechanism": "cpu"}, {"mechanism": "hung"}]),
)


def program_from(drawn: list[tuple[str, int, Any]]) -> Program:
    return Program(
        steps=tuple(
            StepSpec(kind=kind, inputs={"number": number}, when=when, retries=Retries(times=times, pause_s=1.0))
            for number, (kind, times, when) in enumerate(drawn)
        ),
        timeout_s=7 * 86_400,
    )


def carry_to_its_end(
    db: Database, clock: FrozenClock, program: Program, target: Fickle, kills: list[int], says: Callable[[str], str]
) -> Run:
    """Approve, and let workers have turns until the run is over; a worker dies where `kills` says."""
    book = Runbook(
        id="b", title="t", why="w", mechanisms=("cpu",), after_change=False, program=program, blast_radius="r", undo="u"
    )
    library = Library(books={"b": book}, policy=Policy(services=("*",)))
    proposal = Proposal(
        runbook="b",
        title="t",
        service="s",
        steps=("x",),
        blast_radius="r",
        undo="u",
        arguments={"mechanism": "cpu"},
        actions=program.kinds,
        program=program_text(program),
    )
    run_id = f"run-{next(NUMBERS)}"
    with db.write() as connection:
        add_run(connection, run_id, "", proposal, clock.now())
    mortal = DeadlyDatabase(db, target)  # type: ignore[arg-type]  # counts effects as Deadly does
    for _ in range(MOST_TURNS):
        target.left = kills.pop(0) if kills else 0
        try:
            no_incident: Any = None
            queue = RunQueue(mortal, clock, LEASE)
            Runner(queue, target, library, no_incident, steps=TEMPERS, sleep=lambda _: None).turn(only=run_id)
        except Killed:
            pass
        target.left = 0
        run = read_run(db, run_id)
        assert run is not None
        if run.is_over:
            return run
        asking = next((step for step in run.steps if step.state == "asking"), None)
        if asking and run.state == "running" and reply_of(db, run.id, asking) is None:
            answer_question(db, run_id, _answer(asking, target, says), ANA, clock.now())
        clock.advance(LEASE.total_seconds() + 1)
    raise AssertionError(f"it never ends: {read_run(db, run_id)}")


def _answer(step: RunStep, target: Fickle, says: Callable[[str], str]) -> str:
    """A human who looks before they answer: whether it happened is the truth; the rest is as they please."""
    if not step.notes.uncertain:
        return says("question")
    if says("uncertain") == "stop":
        return "stop"
    number = step.number
    return "happened" if target.happened(number) > 0 else "again"


def check_is_whole(run: Run, program: Program, target: Fickle) -> None:
    """The target's own journal against what the run says of itself."""
    for step, spec in zip(run.steps, program.steps, strict=True):
        did, undone = target.happened(step.number), target.undone(step.number)
        assert did <= 1, (step, target.effects)
        assert undone <= 1, (step, target.effects)
        if spec.kind in ("waits", "asks") or step.state in ("planned", "skipped"):
            assert (did, undone) == (0, 0)
        if run.state == "done":
            assert step.state in ("done", "skipped")
            assert undone == 0
            assert did == (spec.kind not in ("waits", "asks") and step.state == "done")
            continue
        assert step.state in ("planned", "skipped", "failed", "undone", "kept", "stuck"), step
        if step.state == "failed":
            assert did == 0, "what happened is never taken for a certain failure"
        if step.state == "undone" and did:
            assert undone == 1
            assert target.effects.index((step.number, "do")) < target.effects.index((step.number, "undo"))
        if step.state == "kept" and did:
            assert spec.kind == "for-good"
    back = [number for number, what in target.effects if what == "undo"]
    assert back == sorted(back, reverse=True), "undone in another order than last first"
    assert run.state in ("done", "failed")
    if run.state == "done":
        assert all(
            (spec.when == {"mechanism": "hung"}) == (step.state == "skipped")
            for spec, step in zip(program.steps, run.steps, strict=True)
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(STEPS, min_size=1, max_size=5),
    fates=st.lists(st.sampled_from(FATES), max_size=12),
    kills=st.lists(st.integers(1, 12), max_size=6),
    seed=st.integers(0, 1 << 30),
)
def test_no_effect_happens_twice_and_every_run_ends(
    db: Database,
    clock: FrozenClock,
    drawn: list[tuple[str, int, Any]],
    fates: list[Any],
    kills: list[int],
    seed: int,
) -> None:
    """Whatever the runbook, the target's fates and the instants of kills."""
    dice, program, target = random.Random(seed), program_from(drawn), Fickle(fates=list(fates))

    def says(what: str) -> str:
        return dice.choice(["yes", "yes", "no"] if what == "question" else ["look", "look", "stop"])

    run = carry_to_its_end(db, clock, program, target, list(kills), says)
    check_is_whole(run, program, target)


@pytest.mark.slow
@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["acts", "once", "for-good"])
@pytest.mark.parametrize("fates", [[fate] for fate in FATES] + [["lost after"] * 6, ["done", "done", "refused"]])
def test_a_kill_at_every_effect_of_a_step(db: Database, clock: FrozenClock, kind: str, fates: list[Any]) -> None:
    """Before and after each commit and each act of three steps, with what becomes of their requests."""
    for kill_at in range(1, 26, 2 if len(fates) > 1 else 1):
        drawn: list[tuple[str, int, Any]] = [(kind, 1, None), ("acts", 0, None), ("acts", 0, None)]
        program, target = program_from(drawn), Fickle(fates=list(fates))
        run = carry_to_its_end(db, clock, program, target, [kill_at], lambda what: "yes")
        check_is_whole(run, program, target)
