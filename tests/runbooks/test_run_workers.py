"""Workers: one at a time has a run, and one that is killed at any effect leaves a run that another ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from run_parts import (
    LEASE,
    LIBRARY,
    UNDOABLE,
    VERBS,
    Deadly,
    DeadlyDatabase,
    Killed,
    World,
    approved,
    is_whole,
    run_of,
    runner,
)

from alerting.incidents.commands import Incidents
from runbooks.journal import Journal
from runbooks.run_queue import RunQueue
from runbooks.run_rows import claim_run
from runbooks.runner import Runner
from runbooks.step import Call, Inputs, TypedStep, Wait
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import Conflict
from watchkeeper.state.database import Database


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


def test_a_step_that_waits_for_no_time_holds_up_no_other_run(
    incidents: Incidents, clock: FrozenClock, db: Database
) -> None:
    """It is asked once in a turn; the next run has its turn, too."""
    asked: list[str] = []

    class Impatient(TypedStep[Inputs]):
        inputs = Inputs

        def plan(self, given: Inputs, service: str, status: object) -> str:
            return f"drain {service}"

        def run(self, call: Call[Inputs]) -> Wait:
            asked.append(call.service)
            assert len(asked) < 10, "a turn that never ends"
            return Wait(why="not yet", again_s=0.0)

    for service in ("cart", "web"):
        approved(incidents, service, clock.now())
    queue = RunQueue(db, clock, LEASE)
    steps: dict[str, Any] = {**UNDOABLE, "drain": Impatient()}
    assert Runner(queue, World(), LIBRARY, incidents, steps=steps).turn() == 0
    assert sorted(asked) == ["cart", "web"]


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
        Journal(db, old, clock, LEASE).write(old.steps[0], "running", "mine")
    assert run_of(db, incident_id).steps[0].state == "planned"


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
