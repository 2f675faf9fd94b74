"""Runs: what a human saw is what runs, one worker at a time, to a definite end, whatever comes in between."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from run_parts import ANA, BOOK, LIBRARY, UNDOABLE, VERBS, World, approved, diagnosis, is_whole, proposal_for, proposed
from run_parts import without_policy as forbidding
from sqlalchemy import Connection, update

from alerting.incidents.commands import Incidents
from runbooks.journal import Journal
from runbooks.library import Library
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run, claim_run, runs_of
from runbooks.runner import Runner
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import Conflict, RunbookError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.schema import runs as runs_table
from watchkeeper.vocabulary import Actor

BEN = Actor(name="Ben", via="slack")
LEASE = timedelta(seconds=10)


def runner(db: Database, world: Any, reports: Any, clock: FrozenClock, library: Library = LIBRARY) -> Runner:
    return Runner(RunQueue(db, clock, LEASE), world, library, reports, steps=UNDOABLE)


def run_of(db: Database, incident_id: str) -> Run:
    (run,) = runs_of(db, incident_id)
    return run


# What the human saw


def test_an_approval_of_another_proposal_is_refused(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Somebody looks at A; B comes to stand in its place; their yes to A runs nothing, and they are told."""
    incident_id = proposed(incidents, "cart", clock.now())
    clock.advance(180)
    other = proposal_for("cart", title="Roll cart back")
    incidents.diagnosed(incident_id, diagnosis("cart2", clock.now()), other, "d2")
    answer = incidents.approve(incident_id, ANA, "a", proposal_for("cart").id)
    assert not answer.changed
    assert answer.message == "the proposal changed at 03:03:00 UTC to “Roll cart back”; look again"
    assert incidents.decline(incident_id, ANA, "b", proposal_for("cart").id).message == answer.message
    assert runs_of(db, incident_id) == ()
    assert incidents.approve(incident_id, ANA, "c", other.id).changed
    assert run_of(db, incident_id).proposal == other


@pytest.mark.parametrize(
    "change",
    [
        {"service": "payments"},
        {"steps": ("drain cart", "swap cart", "empty cart")},
        {"actions": ("drain", "swap", "drain")},
        {"arguments": {"version": "2"}},
        {"runbook": "swap-2"},
        {"blast_radius": "everything"},
        {"undo": "none"},
    ],
)
def test_every_part_of_a_proposal_is_part_of_what_was_seen(change: dict[str, Any]) -> None:
    """Whatever would run otherwise, or was read otherwise, has another id; the same content has the same."""
    assert proposal_for("cart", **change).id != proposal_for("cart").id
    assert proposal_for("cart", id="forged").id == proposal_for("cart").id


def test_an_approval_that_names_no_proposal_is_refused(incidents: Incidents, clock: FrozenClock) -> None:
    """A button of an older message says only which incident: its presser is asked to look again."""
    incident_id = proposed(incidents, "cart", clock.now())
    answer = incidents.approve(incident_id, ANA, "a")
    assert not answer.changed
    assert "look at" in answer.message
    assert incidents.get(incident_id).proposal_state == "proposed"


def test_an_abstention_withdraws_what_nobody_answered(incidents: Incidents, clock: FrozenClock) -> None:
    """When the newest diagnosis names no cause, its predecessor's runbook can no longer be approved."""
    incident_id = proposed(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, replace(diagnosis("cart", clock.now()), abstained=True), None, "d2")
    incident = incidents.get(incident_id)
    assert (incident.proposal, incident.proposal_state) == (None, "none")
    answer = incidents.approve(incident_id, ANA, "a", proposal_for("cart").id)
    assert (answer.changed, answer.message) == (False, "no runbook is proposed any more")


def test_an_abstention_leaves_a_run_alone(incidents: Incidents, clock: FrozenClock) -> None:
    """What somebody approved stays approved."""
    incident_id = approved(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, replace(diagnosis("cart", clock.now()), abstained=True), None, "d2")
    assert incidents.get(incident_id).proposal_state == "approved"


# Runs to their end


def test_a_run_does_its_steps_and_ends(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Each step once, in order; run and incident say so; another turn does nothing."""
    incident_id = approved(incidents, "cart", clock.now())
    world = World()
    worker = runner(db, world, incidents, clock)
    assert (worker.turn(), worker.turn()) == (1, 0)
    assert world.verbs("cart") == list(VERBS)
    run = run_of(db, incident_id)
    assert (run.state, [step.state for step in run.steps]) == ("done", ["done"] * 3)
    assert run.started_at is not None
    assert run.ended_at is not None
    assert incidents.get(incident_id).proposal_state == "done"


def test_a_failed_step_takes_back_what_was_done(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Last first; the incident's timeline tells each sentence."""
    incident_id = approved(incidents, "cart", clock.now())
    world = World(fails="fill")
    runner(db, world, incidents, clock).turn()
    assert world.verbs("cart") == ["drain", "swap", "un-swap", "un-drain"]
    run = run_of(db, incident_id)
    assert (run.state, [step.state for step in run.steps]) == ("failed", ["undone", "undone", "failed"])
    incident = incidents.get(incident_id)
    assert incident.proposal_state == "failed"
    assert incident.timeline[-1].text == (
        "drain of cart; swap of cart; fill failed: fill is broken today; un-swap of cart; un-drain of cart"
    )


def test_a_run_is_found_behind_any_number_of_newer_incidents(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """Sixty incidents that opened later don't hide the one whose runbook was approved."""
    incident_id = approved(incidents, "cart", clock.now())
    for number in range(60):
        clock.advance(1)
        proposed(incidents, f"s{number}", clock.now())
    world = World()
    assert runner(db, world, incidents, clock).turn() == 1
    assert incidents.get(incident_id).proposal_state == "done"


def test_resolved_before_it_began_means_cancelled(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """The resolve ends the run in its own transaction: nothing is left to start, and the incident tells why."""
    incident_id = approved(incidents, "cart", clock.now())
    incidents.resolve(incident_id, BEN, "r")
    world = World()
    assert runner(db, world, incidents, clock).turn() == 0
    assert world.did == []
    assert run_of(db, incident_id).state == "cancelled"
    incident = incidents.get(incident_id)
    assert incident.proposal_state == "cancelled"
    assert incident.timeline[-1].text == "the runbook did not run: Ben resolved before it began"


class Meddling:
    """The writer of incidents, with a hand that does something just before a run begins."""

    def __init__(self, incidents: Incidents, before_start: Any) -> None:
        self._incidents = incidents
        self._before_start = before_start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._incidents, name)

    def run_started(self, incident_id: str, key: str, **rest: str) -> Any:
        self._before_start(incident_id)
        return self._incidents.run_started(incident_id, key, **rest)


def test_a_refused_start_touches_nothing(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """The incident is resolved between the claim and the start: the start is refused, and so is the target's harm."""
    incident_id = approved(incidents, "cart", clock.now())
    world = World()
    hand = Meddling(incidents, lambda one: incidents.resolve(one, BEN, "r"))
    runner(db, world, hand, clock).turn()
    assert world.did == []
    assert run_of(db, incident_id).state == "cancelled"
    assert incidents.get(incident_id).proposal_state == "cancelled"


def test_a_start_refused_for_an_unknown_reason_touches_nothing(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """Whatever the machine refuses a start for, the run ends cancelled with that sentence."""
    incident_id = approved(incidents, "cart", clock.now())

    class Refusing(Meddling):
        def run_started(self, incident_id: str, key: str, **rest: str) -> Any:
            return replace(incidents.acknowledge(incident_id, ANA, "x"), changed=False, message="not today")

    world = World()
    runner(db, world, Refusing(incidents, None), clock).turn()
    assert world.did == []
    assert (run_of(db, incident_id).state, run_of(db, incident_id).text) == (
        "cancelled",
        "the runbook did not run: not today",
    )


def test_resolved_while_it_runs_it_still_ends(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """The run that a human started goes to its end, and the resolved incident shows which."""
    incident_id = approved(incidents, "cart", clock.now())

    class Slow(World):
        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            if verb == "swap":
                incidents.resolve(incident_id, BEN, "r")
            return super().act(service, verb, key=key, arguments=arguments)

    runner(db, Slow(), incidents, clock).turn()
    incident = incidents.get(incident_id)
    assert (incident.human_state, incident.proposal_state) == ("resolved", "done")
    assert run_of(db, incident_id).state == "done"


def test_resolved_after_a_kill_it_still_ends(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """A run whose worker died and whose incident was resolved meanwhile is taken over and ended."""
    incident_id = approved(incidents, "cart", clock.now())
    world = Deadly(World(), kill_at=2)
    with pytest.raises(Killed):
        runner(db, world, incidents, clock).turn()
    incidents.resolve(incident_id, BEN, "r")
    clock.advance(LEASE.total_seconds() + 1)
    runner(db, world, incidents, clock).turn()
    assert incidents.get(incident_id).proposal_state == "done"
    assert world.world.verbs("cart") == list(VERBS)


@pytest.mark.parametrize(
    ("library", "why"),
    [
        (forbidding(LIBRARY), "may not touch cart"),
        (replace(LIBRARY, books={"swap": replace(BOOK, steps=("fill",))}), "was changed since it was approved"),
        (replace(LIBRARY, books={}), "no runbook 'swap'"),
        (replace(LIBRARY, books={"swap": replace(BOOK, steps=("explode",))}), "was changed since it was approved"),
    ],
)
def test_what_was_approved_runs_or_nothing(
    incidents: Incidents, clock: FrozenClock, db: Database, library: Library, why: str
) -> None:
    """A policy or a runbook that changed between the yes and the start cancels the run, with the reason."""
    incident_id = approved(incidents, "cart", clock.now())
    world = World()
    runner(db, world, incidents, clock, library).turn()
    assert world.did == []
    assert incidents.get(incident_id).proposal_state == "cancelled"
    assert why in run_of(db, incident_id).text


def test_a_policy_that_was_tightened_stops_a_run_where_it_was(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """After a restart with a stricter policy, an interrupted run touches nothing more and ends as failed."""
    incident_id = approved(incidents, "cart", clock.now())
    world = Deadly(World(), kill_at=2)
    with pytest.raises(Killed):
        runner(db, world, incidents, clock).turn()
    clock.advance(LEASE.total_seconds() + 1)
    did = list(world.world.did)
    runner(db, world, incidents, clock, forbidding(LIBRARY)).turn()
    assert world.world.did == did
    assert run_of(db, incident_id).state == "failed"
    assert "stopped where it was" in incidents.get(incident_id).timeline[-1].text


def test_a_target_that_does_not_answer_at_once_is_asked_again(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """The same key again: an answer that was lost is not done twice, and the run succeeds."""

    class Forgetful(World):
        lost = 2

        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            did = super().act(service, verb, key=key, arguments=arguments)
            if self.lost:
                self.lost -= 1
                raise RunbookError("timed out", retry=True)
            return did

    incident_id = approved(incidents, "cart", clock.now())
    world = Forgetful()
    runner(db, world, incidents, clock).turn()
    assert world.verbs("cart") == list(VERBS)
    assert incidents.get(incident_id).proposal_state == "done"


def test_a_step_that_crashes_is_a_failed_step(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """A bug in a step or a target's odd answer turns the run back; it does not stay `running`."""

    class Odd(World):
        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            if verb == "swap":
                raise KeyError("did")
            return super().act(service, verb, key=key, arguments=arguments)

    incident_id = approved(incidents, "cart", clock.now())
    world = Odd()
    runner(db, world, incidents, clock).turn()
    assert world.verbs("cart") == ["drain", "un-drain"]
    assert incidents.get(incident_id).proposal_state == "failed"


def test_one_run_that_cannot_go_on_leaves_the_others_alone(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """A failure of ours in one run is set aside; the next one runs, and the first is tried again later."""
    first, second = approved(incidents, "cart", clock.now()), approved(incidents, "web", clock.now())
    bad = [first]

    def fail(incident_id: str) -> None:
        if incident_id in bad:
            raise ValueError("a bug")

    world = World()
    worker = runner(db, world, Meddling(incidents, fail), clock)
    worker.turn()
    assert (run_of(db, first).state, run_of(db, second).state) == ("approved", "done")
    bad.clear()
    clock.advance(LEASE.total_seconds() + 1)
    worker.turn()
    assert run_of(db, first).state == "done"


# One worker at a time


def test_of_two_workers_one_has_a_run(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """While somebody holds it, nobody else gets it; when the lease ran out, the next one does."""
    approved(incidents, "cart", clock.now())
    assert claim_run(db, "one", clock.now(), LEASE) is not None
    assert claim_run(db, "two", clock.now(), LEASE) is None
    clock.advance(LEASE.total_seconds() + 0.1)
    taken = claim_run(db, "two", clock.now(), LEASE)
    assert taken is not None
    assert taken.owner == "two"


def test_a_lease_from_the_future_holds_nobody_up(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """The clock was set back half an hour while a worker died: the run does not wait for half an hour."""
    approved(incidents, "cart", clock.now())
    assert claim_run(db, "one", clock.now() + timedelta(minutes=30), LEASE) is not None
    assert claim_run(db, "two", clock.now(), LEASE) is not None


def test_many_workers_do_everything_once(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Four workers at once on eight runs: each step of each run once, in order."""
    ids = [approved(incidents, f"s{number}", clock.now()) for number in range(8)]
    world = World()
    with ThreadPoolExecutor(4) as pool:
        turns = [pool.submit(runner(db, world, incidents, clock).turn) for _ in range(4)]
        assert sum(turn.result(timeout=120) for turn in turns) == 8
    for number, incident_id in enumerate(ids):
        assert world.verbs(f"s{number}") == list(VERBS)
        assert incidents.get(incident_id).proposal_state == "done"


def test_whoever_lost_the_lease_writes_nothing_and_stops(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """A worker that hung in a step finds that another one finished: its word about the step is refused."""
    incident_id = approved(incidents, "cart", clock.now())
    other = World()

    class Hanging(World):
        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            if verb == "swap" and not other.did:
                clock.advance(LEASE.total_seconds() + 1)
                other.did.extend(self.did)
                other._answers.update(self._answers)
                runner(db, other, incidents, clock).turn()
            world = other if other.did else super()
            return world.act(service, verb, key=key, arguments=arguments)

    assert runner(db, Hanging(), incidents, clock).turn() == 0
    assert other.verbs("cart") == list(VERBS)
    assert run_of(db, incident_id).state == "done"


def test_a_journal_refuses_who_does_not_hold_the_run(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Fenced: the row stays as the new holder wrote it."""
    incident_id = approved(incidents, "cart", clock.now())
    old = claim_run(db, "one", clock.now(), LEASE)
    assert old is not None
    clock.advance(LEASE.total_seconds() + 1)
    assert claim_run(db, "two", clock.now(), LEASE) is not None
    with pytest.raises(Conflict):
        Journal(db, old, clock, LEASE).write(old.steps[0], "done", "mine")
    assert run_of(db, incident_id).steps[0].state == "planned"


# kill -9 at every instruction that has an effect


class Killed(BaseException):
    """kill -9: nothing after it runs."""


class Deadly:
    """A world and a database whose nth effect is the worker's last: half of the time it still happens."""

    def __init__(self, world: World, kill_at: int) -> None:
        self.world = world
        self.left = kill_at

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def status(self, service: str) -> Any:
        return self.world.status(service)

    def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
        self.count()
        try:
            did = self.world.act(service, verb, key=key, arguments=arguments)
        except RunbookError:
            self.count()
            raise
        self.count()
        return did


class DeadlyDatabase(Database):
    """Commits, or not, and dies."""

    def __init__(self, db: Database, deadly: Deadly) -> None:
        super().__init__(db.engine)
        self._deadly = deadly

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            self._deadly.count()  # before the commit: it is rolled back
        self._deadly.count()  # after it


@pytest.mark.parametrize("fails", ["", "drain", "swap", "fill"])
def test_a_kill_at_any_effect_leaves_a_whole_run(
    incidents: Incidents, clock: FrozenClock, db: Database, fails: str
) -> None:
    """Killed before or after each commit and each act, and once more on the way: all was done, or taken back."""
    number, ended = 0, False
    while not ended:
        number += 1
        service = f"s{number}{fails}"
        incident_id = approved(incidents, service, clock.now())
        world = World(fails=fails)
        for kill_at in (number, 1 + number % 5, 0):
            deadly = Deadly(world, kill_at)
            mortal = DeadlyDatabase(db, deadly)
            writer = Incidents(mortal, clock, incidents._writer.oncall)
            try:
                runner(mortal, deadly, writer, clock).turn()
                ended = kill_at == number
                break
            except Killed:
                clock.advance(LEASE.total_seconds() + 1)
        run, incident = run_of(db, incident_id), incidents.get(incident_id)
        assert is_whole(world.verbs(service)), (number, world.did)
        assert len({key for *_, key in world.did}) == len(world.did)
        assert run.state == ("done" if len(world.verbs(service)) == 3 else "failed"), (number, world.did)
        assert incident.proposal_state == run.state
    assert number > 10


def test_runs_of_a_restored_database_end_without_touching_anything(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """They may have happened since the backup was made: one that waited is cancelled, one in its middle fails."""
    world = World()
    waiting, begun = (approved(incidents, service, clock.now()) for service in ("cart", "payments"))
    run = run_of(db, begun)
    incidents.run_started(begun, "run", run=run.id, seen=run.proposal.id)
    worker = runner(db, world, incidents, clock)
    assert worker.give_up("restored from a backup") == 2
    assert worker.turn() == 0
    assert [incidents.get(one).proposal_state for one in (waiting, begun)] == ["cancelled", "failed"]
    assert all("restored from a backup" in run_of(db, one).text for one in (waiting, begun))
    assert world.did == []


# What cannot be read


@pytest.mark.parametrize("restored", [False, True])
def test_a_run_that_cannot_be_read_holds_up_no_other(
    incidents: Incidents, clock: FrozenClock, db: Database, restored: bool
) -> None:
    """Another version wrote the oldest run: the next one runs, and after a restore the role starts all the same."""
    first, second = approved(incidents, "cart", clock.now()), approved(incidents, "orders", clock.now())
    with db.write() as connection:
        connection.execute(update(runs_table).where(runs_table.c.incident_id == first).values(body='{"runbook": 7}'))
    problems, world = Problems(None), World()
    worker = Runner(RunQueue(db, clock, LEASE), world, LIBRARY, incidents, problems, steps=UNDOABLE)
    assert (worker.give_up("restored") if restored else worker.turn()) == 1
    assert run_of(db, second).state == ("cancelled" if restored else "done")
    assert world.verbs("orders") == ([] if restored else list(VERBS))
    (problem,) = problems.current()
    assert problem.loop == "runbooks"
    assert "cannot be read" in problem.reason
