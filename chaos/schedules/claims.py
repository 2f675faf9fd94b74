"""A scheduled run from the side of its own process: it takes the row that it was claimed for, and says how it ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from chaos.schedules.rows import DueRun, DueRuns
from watchkeeper.clock import SystemClock
from watchkeeper.errors import ChaosError, WatchkeeperError

if TYPE_CHECKING:
    from watchkeeper.state.database import Database


@dataclass(kw_only=True)
class Ending:
    """How the run ended, in words; set by whoever runs it. `approved_by` are the ids of those who approved it."""

    detail: str = ""
    approved_by: str = ""


@contextmanager
def taken(db: Database, token: str, run_id: str) -> Iterator[Ending]:
    """Take the row of `schedule@time@claim` for as long as the context lasts; then keep what became of it.

    Raises:
        ChaosError: the claim is void: somebody else runs it, or it is too late.
    """
    runs, clock = DueRuns(db), SystemClock()
    claimed = _claimed(runs, token)
    if claimed is None or not runs.began(claimed, run_id, socket.gethostname(), clock.now()):
        raise ChaosError("this due time was taken back: another process runs it, or it is too late")
    running = replace(claimed, state="running")
    ending = Ending(approved_by=claimed.approved_by)
    try:
        yield ending
    except WatchkeeperError as error:
        runs.settle(running, "refused", clock.now(), error.message)
        raise
    finally:
        # Nothing is changed where the row has its end already.
        runs.settle(running, "done", clock.now(), ending.detail or "it failed; see the log")


def _claimed(runs: DueRuns, token: str) -> DueRun | None:
    try:
        schedule, at, claim = token.rsplit("@", 2)
        run = runs.get(schedule, datetime.fromisoformat(at))
    except ValueError as error:
        raise ChaosError(f"{token!r} is no claim") from error
    return run if run and run.state == "claimed" and run.claim == claim else None
