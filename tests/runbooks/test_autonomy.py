"""Without a human a runbook runs only where the policy says so, experiments proved it, and nothing is against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from run_parts import BOOK, LIBRARY, UNDOABLE, VERBS, World, proposal_for, proposed, run_of
from sqlalchemy import insert

from alerting.incidents.commands import Incidents
from alerting.oncall.escalation import MACHINE
from runbooks.autonomy import Situation, why_not_alone
from runbooks.judging import Judging
from runbooks.library import Library
from runbooks.policy import AutonomousRule, Policy, read_policy
from runbooks.proof import Proof, ProvenRun
from runbooks.proof_rows import proofs
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run, read_run
from runbooks.runner import Runner
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import RunbookError
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.runs import add_run, begin_run, end_run
from watchkeeper.state.schema import experiments
from watchkeeper.state.stops import lift_stop, stop_everything
from watchkeeper.target import ServiceStatus
from watchkeeper.vocabulary import Actor

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANA = Actor(name="Ana", via="cli")
RULE = AutonomousRule(runbooks=("swap",), services=("cart*",))
TWO_SERVICES = '{"timeout_s": 60, "steps": [{"kind": "drain"}, {"kind": "drain", "service": "cart-2"}]}'
SERVICES = ("cart", "web", "pay", "mail")


def proven(successes: int, of: int, *, days_ago: float = 3, service: str = "cart") -> Proof:
    at = NOW - timedelta(days=days_ago)
    return Proof(
        runs=tuple(
            ProvenRun(service=service, fault="hang", at=at, recovered_s=40.0 if number < successes else None)
            for number in range(of)
        )
    )


def run(state: Any, minutes_ago: float, *, autonomous: bool = True, number: int = 0) -> Run:
    return Run(
        id=f"r{number}-{minutes_ago}",
        incident_id="i",
        proposal=proposal_for("cart"),
        state=state,
        owner="",
        approved_at=NOW - timedelta(minutes=minutes_ago),
        started_at=None,
        ended_at=None,
        text="",
        steps=(),
        autonomous=autonomous,
    )


GOOD = Situation(now=NOW, runs=(), proof=proven(9, 10), services=SERVICES)


def test_it_may_run_alone_where_everything_holds() -> None:
    """The one case without a reason against it."""
    assert why_not_alone(proposal_for("cart"), RULE, GOOD) == ""


@pytest.mark.parametrize(
    ("proposal", "rule", "situation", "why"),
    [
        (proposal_for("cart"), AutonomousRule(), GOOD, "none of `autonomous.runbooks`"),
        (proposal_for("cart", runbook="other"), RULE, GOOD, "none of `autonomous.runbooks`"),
        (proposal_for("web"), RULE, GOOD, "web is none of `autonomous.services`"),
        (proposal_for("cart"), RULE, replace(GOOD, stopped="Ana did it"), "everything is stopped"),
        (proposal_for("cart"), RULE, replace(GOOD, proof=Proof()), "tested swap on cart 0 times"),
        (proposal_for("cart"), RULE, replace(GOOD, proof=proven(4, 4)), "4 times in 30 days, not 5"),
        (proposal_for("cart"), RULE, replace(GOOD, proof=proven(9, 10, days_ago=31)), "0 times"),
        (proposal_for("cart"), RULE, replace(GOOD, proof=proven(9, 10, service="web")), "0 times"),
        (proposal_for("cart"), RULE, replace(GOOD, proof=proven(8, 10)), "repaired 80% of the faults"),
        (proposal_for("cart"), RULE, replace(GOOD, services=("cart", "web")), "acts on 50% of the services"),
        (proposal_for("cart"), RULE, replace(GOOD, services=()), "acts on 100% of the services"),
        (
            proposal_for(
                "cart",
                program='{"timeout_s": 60, "steps": [{"kind": "drain"}, {"kind": "drain", "service": "cart-2"}]}',
            ),
            RULE,
            GOOD,
            "acts on 2 services",
        ),
        (proposal_for("cart", program="{"), RULE, GOOD, "cannot be read"),
        (
            proposal_for("cart"),
            RULE,
            replace(GOOD, runs=(run("failed", 1), run("failed", 90), run("done", 100))),
            "failed 2 times in a row",
        ),
        (proposal_for("cart"), RULE, replace(GOOD, runs=(run("running", 1, autonomous=False),)), "under way"),
        (
            proposal_for("cart"),
            RULE,
            replace(GOOD, runs=tuple(run("done", minutes) for minutes in (5, 20, 59))),
            "3 runs without a human within 1 hours",
        ),
    ],
)
def test_each_reason_alone_needs_a_human(proposal: Any, rule: AutonomousRule, situation: Situation, why: str) -> None:
    """One thing is missing, and it is named."""
    assert why in why_not_alone(proposal, rule, situation)


@pytest.mark.parametrize(
    "runs",
    [
        (run("done", 1, autonomous=False), run("failed", 5), run("failed", 6)),
        (run("failed", 1), run("done", 2), run("failed", 90)),
        (run("failed", 25 * 60), run("failed", 26 * 60)),
        tuple(run("done", minutes) for minutes in (61, 62, 63, 64)),
        tuple(run("done", minutes, autonomous=False) for minutes in (1, 2, 3, 4)),
    ],
)
def test_what_is_closed_or_over_speaks_against_nothing(runs: tuple[Run, ...]) -> None:
    """A success closes the breaker; what is long ago, or was approved by humans, is within every rate."""
    assert why_not_alone(proposal_for("cart"), RULE, replace(GOOD, runs=runs)) == ""


def test_the_proof_is_one_line() -> None:
    """What a human reads before they approve."""
    line = proven(9, 10).line(NOW)
    assert line == "repaired 9 of 10 faults (hang), in a median of 40 s; last tested 3 d ago"
    assert "\n" not in line
    assert Proof().line(NOW) == "no experiment has tested it yet"


class Listed(World):
    """A world that lists its services."""

    def services(self) -> dict[str, ServiceStatus]:
        return {name: self.status(name) for name in SERVICES}


def _library() -> Library:
    return Library(books={"swap": BOOK}, policy=Policy(services=("*",), autonomous=RULE))


def _test_by_chaos(db: Database, clock: FrozenClock, incidents: Incidents, number: int, **how: Any) -> None:
    """A recorded run against a recorded fault, as an experiment leaves them."""
    values = {"took_effect": True, "state": "done", "held_s": 120, "recovers_s": 40} | how
    incident_id = proposed(incidents, "cart", clock.now())
    began, run_id = clock.now(), f"proof-{number}"
    body = f'{{"fault": "hang", "service": "cart", "took_effect": {str(values["took_effect"]).lower()}}}'
    with db.write() as connection:
        ended = began + timedelta(seconds=values["held_s"])
        row = {"id": f"e{number}", "target": "t", "began": to_micros(began), "ended": to_micros(ended), "body": body}
        connection.execute(insert(experiments).values(**row))
        add_run(connection, run_id, incident_id, proposal_for("cart"), began)
        begin_run(connection, run_id, began + timedelta(seconds=10))
        end_run(connection, run_id, values["state"], "t", began + timedelta(seconds=15))
    clock.advance(values["recovers_s"])
    if values["recovers_s"] < 1000:
        incidents.observe([])
        incidents.recovered(incident_id, "r")
    incidents.resolve(incident_id, ANA, f"resolved-{number}")
    clock.advance(600)


def test_what_experiments_showed_is_read_from_the_state_database(
    db: Database, clock: FrozenClock, incidents: Incidents
) -> None:
    """A recovery while the fault held counts; one that came after it, a failed run, and no fault at all do not."""
    began = clock.now()
    _test_by_chaos(db, clock, incidents, 1)
    _test_by_chaos(db, clock, incidents, 2, recovers_s=50)
    _test_by_chaos(db, clock, incidents, 3, recovers_s=300)
    _test_by_chaos(db, clock, incidents, 4, state="failed")
    _test_by_chaos(db, clock, incidents, 5, took_effect=False)
    _test_by_chaos(db, clock, incidents, 6, held_s=5, recovers_s=30)
    shown = proofs(db, began)["swap"]
    assert [one.recovered_s for one in shown.runs] == [30.0, 40.0, None, None]
    assert (shown.successes, shown.median_s) == (2, 35.0)
    assert proofs(db, clock.now()) == {}


def test_the_policy_approves_once_and_the_run_is_marked(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """With a proof, the machine's approval runs it; a stop in between cancels it before anything is touched."""
    for number in range(5):
        _test_by_chaos(db, clock, incidents, number)
    world, library = Listed(), _library()
    judging = Judging(db, library, world)
    clock.advance(7200)
    incident_id = proposed(incidents, "cart", clock.now())
    assert judging.why_not_alone(proposal_for("cart"), clock.now()) == ""
    assert incidents.approve(incident_id, MACHINE, "alone", proposal_for("cart").id).changed
    own = run_of(db, incident_id)
    assert (own.autonomous, own.approved_by) == (True, MACHINE.name)
    stop_everything(db, ANA, "a bad feeling", clock.now())

    def worker() -> Runner:
        return Runner(
            RunQueue(db, clock),
            world,
            library,
            incidents,
            steps=UNDOABLE,
            may_begin=lambda run: judging.why_not_begin(run, clock.now()),
        )

    assert worker().turn() == 1
    ended = read_run(db, own.id)
    assert ended is not None
    assert (ended.state, world.did) == ("cancelled", [])
    assert "Ana did it (a bad feeling)" in ended.text
    assert lift_stop(db, ANA, clock.now())
    assert not lift_stop(db, ANA, clock.now())
    incidents.resolve(incident_id, ANA, "x")
    clock.advance(7200)
    another = proposed(incidents, "cart", clock.now())
    incidents.approve(another, MACHINE, "alone", proposal_for("cart").id)
    assert worker().turn() == 1
    assert world.verbs("cart") == list(VERBS)


def test_a_stop_turns_back_what_runs_without_a_human(db: Database, clock: FrozenClock) -> None:
    """Set in the middle of a run, it undoes what the run did; a run that a human approved goes on."""
    for autonomous, expected in ((True, ["drain", "un-drain"]), (False, list(VERBS))):

        class Stopping(World):
            def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
                did = super().act(service, verb, key=key, arguments=arguments)
                if verb == "drain":
                    stop_everything(db, ANA, "enough", clock.now())
                return did

        world, run_id = Stopping(), f"run-{autonomous}"
        with db.write() as connection:
            add_run(connection, run_id, "", proposal_for("cart"), clock.now(), autonomous=autonomous)
        no_incident: Any = None
        Runner(RunQueue(db, clock), world, LIBRARY, no_incident, steps=UNDOABLE).turn()
        assert world.verbs("cart") == expected
        lift_stop(db, ANA, clock.now())


def test_an_approval_stands_for_a_while_only(db: Database, clock: FrozenClock, incidents: Incidents) -> None:
    """A run that could not begin in time is cancelled: what was true when it was approved may not be any more."""
    incident_id = proposed(incidents, "cart", clock.now())
    incidents.approve(incident_id, ANA, "a", proposal_for("cart").id)
    judging, world = Judging(db, _library(), Listed()), Listed()
    clock.advance(3601)
    Runner(
        RunQueue(db, clock),
        world,
        _library(),
        incidents,
        steps=UNDOABLE,
        may_begin=lambda run: judging.why_not_begin(run, clock.now()),
    ).turn()
    assert world.did == []
    assert "its approval stood for 3600 s and is over" in run_of(db, incident_id).text


def test_two_people_must_approve_where_the_policy_says_so(
    db: Database, clock: FrozenClock, incidents: Incidents
) -> None:
    """The first approval runs nothing, the same person's second counts for nothing, another's runs it."""
    proposal = proposal_for("cart", approvals=2)
    incident_id = proposed(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, incidents.get(incident_id).diagnosis, proposal, "again")
    incident = incidents.get(incident_id)
    assert incident.proposal is not None
    assert incident.proposal.approvals == 2
    assert incidents.approve(incident_id, ANA, "a", proposal.id).changed
    assert incidents.get(incident_id).proposal_state == "proposed"
    again = incidents.approve(incident_id, replace(ANA, via="slack"), "b", proposal.id)
    assert (again.changed, again.message) == (False, "Ana approved already; 1 of 2 approvals")
    assert incidents.approve(incident_id, Actor(name="Ben", via="cli"), "c", proposal.id).changed
    assert incidents.get(incident_id).proposal_state == "approved"
    assert run_of(db, incident_id).approved_by == "Ana, Ben"


def test_only_the_named_may_approve(clock: FrozenClock, incidents: Incidents) -> None:
    """Whoever is on call in the schedule may, and nobody else."""
    proposal = proposal_for("cart", approvers=("primary",))
    incident_id = proposed(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, incidents.get(incident_id).diagnosis, proposal, "again")
    refused = incidents.approve(incident_id, ANA, "a", proposal.id)
    assert not refused.changed
    assert "Ana may not approve this runbook; now oncall may" in refused.message
    assert incidents.approve(incident_id, Actor(name="On call", via="cli"), "b", proposal.id).changed


def test_a_policy_is_checked(tmp_path: Path) -> None:
    """Mistakes are named with line and key; what is written is what holds."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "services: [cart]\napproval: {people: [ana], runbooks: {swap: {count: 2, stands_s: 60}}}\n"
        "autonomous: {runbooks: [swap], services: [cart], proof: {runs: 7}}\nhttp_hosts: [deploys.internal]\n"
        "databases: {orders: {url_env: ORDERS_URL}}\n"
    )
    policy = read_policy(tmp_path)
    assert (policy.rule_for("swap").count, policy.rule_for("other").people) == (2, ("ana",))
    assert (policy.autonomous.proof.runs, policy.databases["orders"].write) == (7, False)
    path.write_text("services: [cart]\nautonomous: {proof: {success_rate: 0.2}, rate: {runs: 0}}\napproval: never\n")
    with pytest.raises(RunbookError) as refused:
        read_policy(tmp_path)
    lines = refused.value.message.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "approval",
        "autonomous.proof.success_rate",
        "autonomous.rate.runs",
    ]
    assert all(f"{path}:" in line for line in lines)
