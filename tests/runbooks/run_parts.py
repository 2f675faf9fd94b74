"""Parts that the tests of runs share: a runbook whose steps can be undone, a target with a journal, an incident."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from alerting.incidents.commands import Incidents
from runbooks.library import Library
from runbooks.policy import Policy
from runbooks.program import Program, StepSpec
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run, runs_of
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from runbooks.step import Step
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import RunbookError
from watchkeeper.state.database import Database
from watchkeeper.target import NoTarget, ServiceStatus, Target
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Proposal, Suspect

ANA = Actor(name="Ana", via="cli")
VERBS = ("drain", "swap", "fill")


class Undoable:
    """A step that asks the target for its verb, and for `un-` its verb."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self.needs = frozenset({verb, f"un-{verb}"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        return f"{self._verb} {service}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, self._verb, key=key)

    def undo(self, target: Target, service: str, key: str) -> str:
        return target.act(service, f"un-{self._verb}", key=key)


UNDOABLE: Mapping[str, Step] = {verb: Undoable(verb) for verb in VERBS}
BOOK = Runbook(
    id="swap",
    title="Swap {service}",
    why="w",
    mechanisms=("cpu",),
    after_change=False,
    program=Program(steps=tuple(StepSpec(kind=verb) for verb in VERBS)),
    blast_radius="b",
    undo="u",
)
LIBRARY = Library(books={"swap": BOOK}, policy=Policy(services=("*",)))


class World(NoTarget):
    """A target in memory: does each key once, keeps the order, and fails a verb the first time that it is asked."""

    def __init__(self, *, fails: str = "") -> None:
        super().__init__("no part of this world")
        self.did: list[tuple[str, str, str]] = []  # service, verb, key
        self.fails = fails
        self._answers: dict[str, str] = {}
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        return ServiceStatus(service=service, state="running", version="2", previous_version="1", instance="1")

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        with self._lock:
            if key in self._answers:
                return self._answers[key]
            if verb == self.fails and key not in self._failed:
                self._failed.add(key)
                raise RunbookError(f"{verb} is broken today")
            self.did.append((service, verb, key))
            self._answers[key] = f"{verb} of {service}"
            return self._answers[key]

    def verbs(self, service: str) -> list[str]:
        return [verb for name, verb, _ in self.did if name == service]


def is_whole(verbs: list[str]) -> bool:
    """Whether a target's journal of one run is all of it, or a part of it taken back in reverse order. Nothing else."""
    ahead = [verb for verb in verbs if not verb.startswith("un-")]
    back = [verb.removeprefix("un-") for verb in verbs if verb.startswith("un-")]
    in_order = ahead == list(VERBS[: len(ahead)]) and verbs[: len(ahead)] == ahead
    return in_order and (back == [] if len(ahead) == len(VERBS) else back == ahead[::-1])


def proposal_for(service: str, /, **changes: Any) -> Proposal:
    values = {
        "runbook": "swap",
        "title": f"Swap {service}",
        "service": service,
        "steps": tuple(f"{verb} {service}" for verb in VERBS),
        "blast_radius": "b",
        "undo": "u",
        "actions": VERBS,
    }
    return Proposal(**(values | changes))


def diagnosis(service: str, at: datetime) -> Diagnosis:
    suspect = Suspect(service=service, score=3.0, probability=0.8, mechanism="cpu")
    return Diagnosis(
        onset=at, made_at=at, suspects=(suspect,), abstained=False, reason=f"because of {service}", engine_version="1"
    )


def opened(incidents: Incidents, service: str, at: datetime) -> str:
    """An open incident about one service; others fire on."""
    finding = Finding(
        detector="test",
        detector_version="1",
        kind="errors",
        service=service,
        summary=f"{service}: errors",
        onset=at,
        seen_at=at,
        score=0.99,
    )
    firing = [finding, *(f for one in incidents.list("open", 1000) for f in one.findings)]
    return next(i for i in incidents.observe(firing) if incidents.get(i).service == service)


def proposed(incidents: Incidents, service: str, at: datetime) -> str:
    incident_id = opened(incidents, service, at)
    incidents.diagnosed(incident_id, diagnosis(service, at), proposal_for(service), "d")
    return incident_id


def approved(incidents: Incidents, service: str, at: datetime) -> str:
    """An incident whose runbook somebody approved."""
    incident_id = proposed(incidents, service, at)
    outcome = incidents.approve(incident_id, ANA, "a", proposal_for(service).id)
    assert outcome.changed, outcome.message
    return incident_id


def without_policy(library: Library) -> Library:
    return replace(library, policy=Policy(services=()))


BEN = Actor(name="Ben", via="slack")
LEASE = timedelta(seconds=10)


def runner(db: Database, world: Any, reports: Any, clock: FrozenClock, library: Library = LIBRARY) -> Runner:
    return Runner(RunQueue(db, clock, LEASE), world, library, reports, steps=UNDOABLE)


def run_of(db: Database, incident_id: str) -> Run:
    (run,) = runs_of(db, incident_id)
    return run


class Killed(BaseException):
    """kill -9: nothing after it runs."""


class Deadly:
    """A world and a database whose nth effect is the worker's last: half of the time it still happens."""

    def __init__(self, world: World, kill_at: int) -> None:
        self.world = world
        self.left = kill_at
        self._worker = threading.current_thread()

    def count(self) -> None:
        if threading.current_thread() is not self._worker:
            return  # how often the lease is renewed depends on the machine
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
