"""A runbook's question in an incident: one answer counts, of the question that was seen, in time, by who may answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_parts import ANA, BEN, LEASE, Deadly, DeadlyDatabase, Killed, World, diagnosis, opened, run_of

from alerting.incidents.commands import Incidents
from alerting.incidents.questions import Asked, open_questions
from alerting.oncall.applying import bring_into_force, plan_file
from runbooks.commands.runbook import print_run
from runbooks.library import Library
from runbooks.policy import Policy
from runbooks.program import Program, StepSpec
from runbooks.propose import proposal_of
from runbooks.registry import steps
from runbooks.run_queue import RunQueue
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from watchkeeper.cli.runbook import app
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import OnCallConfig, PersonConfig, load
from watchkeeper.errors import Conflict
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database

ONCALL = OnCallConfig(
    people=(
        PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}),
        PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"}),
        PersonConfig(id="oncall", name="On call"),
    )
)
ASK: dict[str, Any] = {"question": "Is the batch over?", "confirm": ["no"]}


@pytest.fixture
def incidents(db: Database, clock: FrozenClock) -> Incidents:
    """With people who may answer, or may not."""
    return Incidents(db, clock, ONCALL)


class Asking:
    """An incident whose runbook drains cart, asks, and lets it have requests again."""

    def __init__(self, db: Database, clock: FrozenClock, incidents: Incidents, ask: Any = ASK, **step: Any) -> None:
        self.db, self.clock, self.incidents, self.world = db, clock, incidents, World()
        specs = (StepSpec(kind="drain"), StepSpec(kind="ask", inputs=ask, id="asked", **step), StepSpec(kind="restart"))
        book = Runbook(
            id="b",
            title="t",
            why="w",
            mechanisms=("cpu",),
            after_change=False,
            program=Program(steps=specs),
            blast_radius="r",
            undo="u",
        )
        self.library = Library(books={"b": book}, policy=Policy(services=("*",)))
        self.id = opened(incidents, "cart", clock.now())
        proposal = replace(proposal_of(book, "cart", {"mechanism": "cpu"}), approvers=("ana",))
        incidents.diagnosed(self.id, diagnosis("cart", clock.now()), proposal, "d")
        assert incidents.approve(self.id, ANA, "a", proposal.id).changed

    def turn(self, db: Database | None = None, world: Any = None) -> None:
        """What a watch role does when it comes by."""
        queue = RunQueue(db or self.db, self.clock, LEASE)
        reports = Incidents(db or self.db, self.clock, ONCALL)
        Runner(queue, world or self.world, self.library, reports, steps=steps(), sleep=lambda _: None).turn()

    @property
    def questions(self) -> tuple[Asked, ...]:
        return self.incidents.get(self.id).questions

    @property
    def open(self) -> Asked:
        (asked,) = open_questions(self.questions)
        return asked

    def answer(self, choice: str, seen: str, actor: Any = ANA, key: str = "k") -> str:
        """What whoever answers reads; empty where it counts."""
        outcome = self.incidents.answer(self.id, actor, key, seen, choice)
        return "" if outcome.changed else outcome.message


def test_an_answer_lets_the_run_go_on(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """The incident has the question and who answered it; the answer is audited; later steps run."""
    asking = Asking(db, clock, incidents)
    asking.turn()
    question = asking.open.question
    assert (question.text, question.choices, question.confirm) == ("Is the batch over?", ("yes", "no"), ("no",))
    assert question.until is not None
    assert asking.answer("yes", question.id) == ""
    asking.turn()
    assert run_of(db, asking.id).state == "done"
    assert asking.world.verbs("cart") == ["drain", "restart"]
    (asked,) = asking.questions
    assert (asked.answer, asked.ended, asked.answered_by) == ("yes", "Ana answered yes to: Is the batch over?", ANA)
    assert [(e.action, e.actor.name, e.detail) for e in audit_trail(db)] == [
        ("runbook.answer", "Ana", "Is the batch over?: yes")
    ]


def test_what_does_not_count_changes_nothing(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """A second press, somebody else's right, another question, another choice: each with its sentence."""
    asking = Asking(db, clock, incidents)
    asking.turn()
    seen = asking.open.question.id
    assert asking.answer("yes", seen, BEN) == (
        "Ben may not answer this runbook; now ana may (`approval` in the runbooks' policy.yaml)"
    )
    assert "asks no such question; now the runbook asks: Is the batch over?" in asking.answer("yes", "another")
    assert "choose one of yes, no" in asking.answer("perhaps", seen)
    assert asking.open.is_open
    assert asking.answer("no", seen, key="first") == ""
    late = asking.answer("yes", seen, key="second")
    assert late.startswith("that question is over since 03:00:00 UTC: Ana answered no")
    assert asking.answer("no", seen, key="first") == "Ana answered no to: Is the batch over?"  # the same press again
    asking.turn()
    assert run_of(db, asking.id).state == "failed"
    assert len(audit_trail(db)) == 1


@pytest.mark.parametrize("unanswered", [None, "yes", "no"])
def test_nobody_answers_in_time(db: Database, clock: FrozenClock, incidents: Incidents, unanswered: str | None) -> None:
    """What the runbook says counts, or the run turns back; the incident tells; a late press is refused."""
    asking = Asking(db, clock, incidents, ASK | {"unanswered": unanswered}, timeout_s=60)
    asking.turn()
    seen = asking.open.question.id
    clock.advance(61)
    late = asking.answer("yes", seen)
    assert late.startswith("the time to answer ended at 03:01:00 UTC")
    asking.turn()
    assert run_of(db, asking.id).state == ("done" if unanswered == "yes" else "failed")
    (asked,) = asking.questions
    then = f"it goes on as if the answer were {unanswered}" if unanswered else "the run turns back"
    assert asked.ended == f"nobody answered “Is the batch over?” within 60 s: {then}"
    assert asking.answer("yes", seen, key="later").startswith("that question is over since 03:01:01 UTC")
    assert audit_trail(db) == ()


def test_an_answer_in_the_last_moment_counts(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """It was given in time, though the run looks only after it."""
    asking = Asking(db, clock, incidents, timeout_s=60)
    asking.turn()
    clock.advance(59)
    assert asking.answer("yes", asking.open.question.id) == ""
    clock.advance(30)
    asking.turn()
    assert run_of(db, asking.id).state == "done"


def test_a_resolved_incident_still_answers_its_run(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """Nobody else could."""
    asking = Asking(db, clock, incidents)
    asking.turn()
    assert incidents.resolve(asking.id, ANA, "r").changed
    assert asking.answer("yes", asking.open.question.id) == ""
    asking.turn()
    assert run_of(db, asking.id).state == "done"


def test_a_question_of_a_run_that_ended_is_over(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """The run's own time-out: the message that asks must not wait for ever."""
    asking = Asking(db, clock, incidents)
    asking.turn()
    seen = asking.open.question.id
    clock.advance(3700)
    asking.turn()
    assert run_of(db, asking.id).state == "failed"
    assert asking.answer("yes", seen).startswith("that question is over")
    assert "the run took longer than 3600 s" in asking.questions[0].ended


@pytest.mark.parametrize("kill_at", range(1, 15))
def test_a_kill_neither_loses_nor_doubles(db: Database, clock: FrozenClock, incidents: Incidents, kill_at: int) -> None:
    """At each of the worker's effects: one question, one answer, each verb once."""
    asking = Asking(db, clock, incidents)
    deadly = Deadly(asking.world, kill_at)
    for _ in range(6):
        try:
            asking.turn(DeadlyDatabase(db, deadly), deadly)  # type: ignore[arg-type]
        except Killed:
            deadly.left = 0
        clock.advance(LEASE.total_seconds() + 1)
        for asked in open_questions(asking.questions):
            assert asking.answer("yes", asked.question.id, key=f"press:{asked.question.id}") == ""
    assert run_of(db, asking.id).state == "done"
    assert [asked.answer for asked in asking.questions] == ["yes"]
    assert asking.world.verbs("cart") == ["drain", "restart"]
    assert len(audit_trail(db)) == 1


def test_the_command_line_answers_the_question_that_was_seen(
    tmp_path: Path, clock: FrozenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its id, or what is asked now; who may not, another question and a second answer exit with 4."""
    config = tmp_path / "watchkeeper.yaml"
    people = "[{id: ana, name: Ana, addresses: {slack: UANA}}, {id: ben, name: Ben, addresses: {slack: UBEN}}]"
    oncall = f"{{people: {people}, schedules: [{{id: primary, layers: [{{people: [ana]}}], fallback: ana}}]}}"
    config.write_text(f"data_dir: {tmp_path / 'data'}\noncall: {oncall}\n")
    db = Database.open(load(config))
    clock.advance((SystemClock().now() - clock.now()).total_seconds())
    asking = Asking(db, clock, Incidents(db, clock, ONCALL))
    asking.turn()
    run, question = run_of(db, asking.id), asking.open.question

    def answer(*words: str) -> None:
        app(["answer", run.id, *words, "--config", str(config)], standalone_mode=False)

    with pytest.raises(Conflict, match="Ben may not answer this runbook"):
        answer("yes", "--as", "Ben")
    with pytest.raises(Conflict, match="asks no such question"):
        answer("yes", "--as", "ana", "--question", "0123456789abcdef")
    with pytest.raises(Conflict, match="choose one of yes, no"):
        answer("maybe", "--as", "ana")
    print_run(run_of(db, asking.id))
    assert f"`watchkeeper runbook answer {run.id} yes --question {question.id}`" in capsys.readouterr().out
    answer("yes", "--as", "ana", "--question", question.id)
    assert capsys.readouterr().out == "Is the batch over? yes; the run goes on\n"
    with pytest.raises(Conflict, match="that question is over"):
        answer("no", "--as", "ana", "--question", question.id)
    assert asking.questions[0].answer == "yes"
    db.close()


def test_the_command_line_knows_who_may_answer_by_the_rota_in_force(tmp_path: Path, clock: FrozenClock) -> None:
    """A rota that was applied, and that the file does not have yet, says who is who."""
    config = tmp_path / "watchkeeper.yaml"
    people = "[{id: oncall, name: On call, addresses: {slack: UX}}, {id: ana, name: Ann, addresses: {slack: UANA}}]"
    config.write_text(f"data_dir: {tmp_path / 'data'}\noncall: {{people: {people}}}\n")
    tree = load(config)
    db = Database.open(tree)
    clock.advance((SystemClock().now() - clock.now()).total_seconds())
    asking = Asking(db, clock, Incidents(db, clock, ONCALL))
    asking.turn()
    renamed = OnCallConfig(people=(PersonConfig(id="oncall", name="On call"), PersonConfig(id="ana", name="Zoe")))
    in_force = plan_file(db, tree.model_copy(update={"oncall": renamed}), "other.yaml")
    bring_into_force(db, in_force, clock.now(), ANA)
    words = ["answer", run_of(db, asking.id).id, "yes", "--config", str(config), "--as"]
    with pytest.raises(Conflict, match="Ann may not answer this runbook"):
        app([*words, "Ann"], standalone_mode=False)
    app([*words, "Zoe"], standalone_mode=False)
    assert asking.questions[0].answer == "yes"
    db.close()
