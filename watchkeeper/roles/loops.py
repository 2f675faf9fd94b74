"""Jobs that repeat for as long as a role lives, each on a thread of its own, none waiting for another.

They wait by a clock that nobody can set: where the machine's clock steps back half an hour, the next round comes when
it would have come anyway. A round that fails is reported, and the next one comes all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import Problems

JOB_FAILURES = Counter("watchkeeper_job_failures_total", "Rounds of a job that failed.", ["job"])
ROUND: Final = "the whole round"
# A job all of whose rounds fail for so long does not work.
FAILING_AFTER_S: Final = 30.0
STOP_WITHIN_S: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do every so many seconds.

    Attributes:
        core: the role is not ready while this job fails.
        times: a round may go on without a sign of life for so many times what a role may (`roles.hung_after_s`).
        at_s: rounds come so long after the multiples of `every_s` of the day's clock; None: as they started.
    """

    name: str
    work: Callable[[], None]
    every_s: float
    core: bool = True
    at_s: float | None = None
    times: float = 4.0

    def wait_s(self, since_s: float) -> float:
        """Seconds to the next round, when the last one began `since_s` seconds ago."""
        if self.at_s is None:
            return max(0.0, self.every_s - since_s)
        wait_s = self.every_s - (time.time() - self.at_s) % self.every_s
        # A thread that woke a little early must not begin a second round on time.
        return wait_s + self.every_s if since_s + wait_s < self.every_s / 2 else wait_s


class Loops:
    """Runs jobs until `stopping` is set. `beat` is called with a job's name at every round."""

    def __init__(
        self,
        jobs: tuple[Job, ...],
        problems: Problems,
        stopping: threading.Event,
        beat: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._jobs = jobs
        self._problems = problems
        self._stopping = stopping
        self._beat = beat
        self._worked: set[str] = set()
        self._worked_at: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._threads = [threading.Thread(target=self._repeat, args=(job,), name=job.name, daemon=True) for job in jobs]

    def start(self) -> None:
        now = time.monotonic()
        self._worked_at = {job.name: now for job in self._jobs}
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the rounds that run; a round that never ends is left behind, as a kill would leave it."""
        deadline = time.monotonic() + STOP_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def failing(self) -> str | None:
        """Which core job has failed for a while, and why; None when all work."""
        for job in self._jobs:
            since = time.monotonic() - self._worked_at.get(job.name, time.monotonic())
            if job.core and job.name in self._failed and since > FAILING_AFTER_S + job.every_s:
                return f"{job.name} has failed for {since:.0f} s: {self._failed[job.name]}"
        return None

    def _repeat(self, job: Job) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            began = time.monotonic()
            self._beat(job.name)
            self.once(job)
            self._beat(job.name)
            wait_s = job.wait_s(time.monotonic() - began)

    def once(self, job: Job) -> None:
        """One round."""
        try:
            job.work()
        except Exception as error:  # noqa: BLE001 - the next round comes all the same
            JOB_FAILURES.labels(job.name).inc()
            self._failed[job.name] = error.message if isinstance(error, WatchkeeperError) else str(error)
            self._problems.report(job.name, ROUND, error)  # which logs the first of them, with its traceback
        else:
            if job.name in self._failed or job.name not in self._worked:
                self._problems.solved(job.name, ROUND)  # also what an earlier process of this role left
            self._failed.pop(job.name, None)
            self._worked.add(job.name)
            self._worked_at[job.name] = time.monotonic()
