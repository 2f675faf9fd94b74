"""What the pages read of Watchkeeper itself: its roles, what they set aside, and whether a service can be judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dashboard.reads.cache import Cache
from dashboard.reads.traffic import TrafficReads
from watchkeeper.clock import Clock
from watchkeeper.problems import Problem, read_problems

STALE_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One of Watchkeeper's processes: running, or not seen; `hung` names the loop that is stuck."""

    name: str
    running: bool
    hung: str = ""


Roles = Callable[[], Sequence[Role]]


class OwnState:
    """Reads of Watchkeeper's own processes on this machine."""

    def __init__(self, *, roles: Roles, run_dir: Path, traffic: TrafficReads, clock: Clock, cache: Cache) -> None:
        self._roles = roles
        self._run_dir = run_dir
        self._traffic = traffic
        self._clock = clock
        self._cache = cache

    def roles(self) -> Sequence[Role]:
        """Watchkeeper's processes on this machine."""
        return self._cache.get(("roles",), self._roles)

    def problems(self) -> Sequence[tuple[str, Problem]]:
        """What the roles set aside in the last day so that the others go on, with the role, the latest first."""

        def read() -> Sequence[tuple[str, Problem]]:
            by_role = read_problems(self._run_dir)
            pairs = [(role, problem) for role, problems in by_role.items() for problem in problems]
            return sorted(pairs, key=lambda pair: pair[1].last_at, reverse=True)

        return self._cache.get(("problems",), read)

    def unjudged(self) -> str:
        """Empty while the watch role runs and telemetry is fresh; else why no service can be judged.

        Raises:
            StoreError: the store cannot be read.
        """
        watch = next((role for role in self.roles() if role.name == "watch" and role.running), None)
        if watch is None:
            return "the watch role is not running"
        if watch.hung:
            return watch.hung
        newest = [at for at in self._traffic.newest().values() if at]
        if not newest:
            return "no telemetry has arrived yet"
        if self._clock.now() - max(newest) > STALE_AFTER:
            return "telemetry has stopped arriving"
        return ""
