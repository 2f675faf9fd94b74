"""Keeps the messages in which people are asked to approve scheduled experiments: each posted once, edited in place.

What is about to be posted is noted in the row first, so that after a kill the channel is asked whether it has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chaos.schedules.requests import Announcement, announcement, read_request, request_for, request_text
from chaos.schedules.rows import DueRun, DueRuns, standing
from chaos.schedules.schedule import Schedule
from chaos.toolkit.document import ExperimentFile
from watchkeeper.config import ApprovalConfig
from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import content_key

LOOP: Final = "experiments"
EDITED_FOR: Final = timedelta(days=1)  # after its end, a message is what it is
AGAIN: Final = timedelta(seconds=60)
ABOUT_TO: Final = "about to be posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message stands; empty: nowhere yet."""

    conversation: str = ""
    ts: str = ""


# Shows a message at a place, or posts it where that is empty. The last argument says whether it may be there already.
Show = Callable[[Announcement, Place, bool], Place]


class Announcer:
    """Asks, and keeps what was asked current. `show` raises WatchkeeperError where the channel refuses or is away."""

    def __init__(
        self,
        runs: DueRuns,
        show: Show | None,
        problems: Problems,
        *,
        names: Mapping[str, str],
        radius: Callable[[ExperimentFile], str],
    ) -> None:
        """`names` are people by id; `radius` describes what an experiment may harm. Without `show`, it is only kept."""
        self._runs = runs
        self._show = show
        self._problems = problems
        self._names = names
        self._radius = radius
        self._again: dict[str, datetime] = {}

    def ask(self, run: DueRun, schedule: Schedule, approval: ApprovalConfig, now: datetime) -> None:
        """Ask for a waiting run what its experiment is now. Raises ChaosError where that cannot be read."""
        experiment = schedule.read()
        known = read_request(run)
        as_asked = (experiment.digest, tuple(approval.by), approval.count, approval.stands_hours)
        if known and (known.digest, known.by, known.count, known.stands_hours) == as_asked:
            return
        request = request_for(schedule, experiment, approval, self._radius(experiment))
        self._runs.asks(run, request_text(request), now)

    def show(self, now: datetime) -> None:
        """Bring every message to where its run stands now."""
        if self._show is None:
            return
        for attempt in self._problems.each(LOOP, self._runs.asked(now - EDITED_FOR), lambda run: run.token):
            with attempt as run:
                self._bring(run, self._show, now)

    def _bring(self, run: DueRun, show: Show, now: datetime) -> None:
        shown = as_it_stands(self._runs, run, self._names, now)
        if shown is None or self._again.get(run.token, now) > now:
            return
        version = content_key(repr(shown))
        if version == run.shown:
            return
        place = Place(conversation=run.conversation, ts=run.ts)
        maybe_there = run.shown == ABOUT_TO
        if not place.ts and not maybe_there:
            self._runs.shows(run, ABOUT_TO)
        try:
            place = show(shown, place, maybe_there)
        except WatchkeeperError:
            self._again[run.token] = now + AGAIN
            raise
        self._runs.shows(run, version, place.conversation, place.ts)


def announcements(runs: DueRuns, names: Mapping[str, str], now: datetime) -> tuple[Announcement, ...]:
    """Every request that is open or ended lately, oldest first."""
    shown = (as_it_stands(runs, run, names, now) for run in runs.asked(now - EDITED_FOR))
    return tuple(one for one in shown if one is not None)


def as_it_stands(runs: DueRuns, run: DueRun, names: Mapping[str, str], now: datetime) -> Announcement | None:
    """A run's request with its approvals and state; None where nobody was asked."""
    request = read_request(run)
    if request is None:
        return None
    approvals = runs.approvals(run.schedule) if run.state == "waiting" else ()
    given = standing(approvals, request.by, request.digest, request.stands_hours, now)
    return announcement(run, request, given, names, now)
