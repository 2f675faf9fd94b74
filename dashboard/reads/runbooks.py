"""What the pages read of runbooks: the files, what experiments have shown of each, their runs, and a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dashboard.reads.cache import Cache
from runbooks.feasible import weighed
from runbooks.library import Library
from runbooks.preflight import readable_runbooks
from runbooks.proof import Proof
from runbooks.proof_rows import proofs
from runbooks.propose import proposal_of
from runbooks.run_rows import Run, recent_runs
from runbooks.runbook import Runbook
from runbooks.wording import undo_sentences
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.stops import Stop, stopped
from watchkeeper.target import Target

FILES_S: Final = 15.0  # so long a change of the files may wait
PROOF: Final = timedelta(days=90)
NOT_HERE: Final = "no target is configured, or none has this service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do to a service: each step with its undo. `blocked` says why it cannot run now, if so."""

    title: str
    steps: Sequence[tuple[str, str]]
    blast_radius: str
    blocked: str


class RunbookReads:
    """Reads of runbooks. Those of the state database raise StateError if it cannot be read."""

    def __init__(self, db: Database, config: Config, clock: Clock, target: Callable[[], Target], cache: Cache) -> None:
        self._db = db
        self._config = config
        self._clock = clock
        self._target = target
        self._cache = cache
        self._slow = Cache(FILES_S)
        self._problems = Problems(None)  # each is logged once, not at every reading

    def library(self) -> Library:
        """The runbooks and their policy; none where the folder cannot be read: see `problems`."""
        return self._slow.get("library", lambda: readable_runbooks(self._config.runbooks.dir, self._problems))

    def problems(self) -> Sequence[str]:
        """What is wrong with the folder, a line a mistake."""
        self.library()
        return [line for problem in self._problems.current() for line in problem.reason.splitlines()]

    def proofs(self) -> Mapping[str, Proof]:
        """By runbook, what experiments of the last ninety days have shown."""
        return self._slow.get("proofs", lambda: proofs(self._db, self._clock.now() - PROOF))

    def runs(self, limit: int) -> tuple[Run, ...]:
        """The newest runs, newest first."""
        return self._cache.get(("runs", limit), lambda: recent_runs(self._db, limit))

    def stop(self) -> Stop | None:
        """The global stop, while it is set."""
        return self._cache.get("stop", lambda: stopped(self._db))

    def plan(self, book: Runbook, service: str) -> Plan:
        """A dry run: what it would do, and whether it could run now. Asks the target; touches nothing.

        Raises:
            RunbookError: its steps cannot be described.
        """
        return self._slow.get(("plan", book.id, service), lambda: self._plan(book, service))

    def _plan(self, book: Runbook, service: str) -> Plan:
        proposal = proposal_of(book, service, {"service": service})
        seen = weighed(proposal, self.library(), self._target())
        undo = undo_sentences(book.program, service, proposal.arguments)
        return Plan(
            title=proposal.title,
            steps=tuple(zip(proposal.steps, undo, strict=True)),
            blast_radius=proposal.blast_radius,
            blocked=seen.blocked if seen else NOT_HERE,
        )
