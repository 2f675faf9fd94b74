"""Runs: each comes to a definite end, whatever comes in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from run_parts import (
    ANA,
    BEN,
    BOOK,
    LEASE,
    LIBRARY,
    UNDOABLE,
    VERBS,
    Deadly,
    Killed,
    World,
    approved,
    diagnosis,
    opened,
    proposal_for,
    proposed,
    run_of,
    runner,
)
from run_parts import without_policy as forbidding
from sqlalchemy import update

from alerting.incidents.commands import Incidents
from runbooks.library import Library
from runbooks.program import Program, StepSpec
from runbooks.run_queue import RunQueue
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import RunbookError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.schema import runs as runs_table


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


def _other(step: str) -> Runbook:
    return replace(BOOK, program=Program(steps=(StepSpec(kind=step),)))


@pytest.mark.parametrize(
    ("library", "why"),
    [
        (forbidding(LIBRARY), "may not touch cart"),
        (
            replace(LIBRARY, books={"swap": _other("fill")}),
            "was changed since it was approved",
        ),
        (replace(LIBRARY, books={}), "no runbook 'swap'"),
        (
            replace(LIBRARY, books={"swap": _other("explode")}),
            "was changed since it was approved",
        ),
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
    """A bug in a step or a target's odd answer turns the run back; what may have happened is taken back, too."""

    class Odd(World):
        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            if verb == "swap":
                raise KeyError("did")
            return super().act(service, verb, key=key, arguments=arguments)

    incident_id = approved(incidents, "cart", clock.now())
    world = Odd()
    runner(db, world, incidents, clock).turn()
    assert world.verbs("cart") == ["drain", "un-swap", "un-drain"]
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


def test_a_run_that_an_earlier_version_approved_still_runs(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """Its proposal names no steps: it takes the runbook's where they read as they were approved, else none."""
    old, other = (proposal_for(service, actions=()) for service in ("cart", "web"))
    for proposal in (old, replace(other, steps=("something else",))):
        incident_id = opened(incidents, proposal.service, clock.now())
        incidents.diagnosed(incident_id, diagnosis(proposal.service, clock.now()), proposal, "d")
        assert incidents.approve(incident_id, ANA, "a", proposal.id).changed
    world = World()
    assert runner(db, world, incidents, clock).turn() == 2
    assert (world.verbs("cart"), world.verbs("web")) == (list(VERBS), [])
