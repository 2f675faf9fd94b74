"""What people are asked before a scheduled experiment runs, and what became of it: pure, for whoever shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chaos.schedules.rows import DueRun
from chaos.schedules.schedule import Schedule
from chaos.toolkit.document import INJECT, ExperimentFile
from chaos.toolkit.plan import bound_s, in_words
from watchkeeper.config import ApprovalConfig
from watchkeeper.durations import duration
from watchkeeper.state.codec import dump, parse
from watchkeeper.text import one_line

MOST_LINES: Final = 12
HOW_TO_STOP: Final = "the button Stop, here or on the page Chaos, or: watchkeeper chaos stop"
SEALED: Final = "A game day: nobody is shown which fault it is before its end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An experiment as people are asked to approve it. `digest` names its content: another content is another request.

    Attributes:
        does: its actions in words, one a line.
        radius: what it may harm.
        bound: how long it can last.
        by: the ids of those who may approve, of whom `count` must.
    """

    title: str
    file: str
    does: tuple[str, ...]
    radius: str
    bound: str
    digest: str
    by: tuple[str, ...]
    count: int
    stands_hours: float
    sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A request with where it stands now, as one message shows it.

    Attributes:
        status: one sentence.
        may_decide: whether it can be approved, refused and postponed.
        may_stop: whether it runs.
    """

    token: str
    schedule: str
    due_at: datetime
    request: Request
    status: str
    may_decide: bool = False
    may_stop: bool = False

    @property
    def title(self) -> str:
        return "A game day" if self.request.sealed else f"Experiment {self.schedule}"


def request_for(schedule: Schedule, experiment: ExperimentFile, approval: ApprovalConfig, radius: str) -> Request:
    """The request for a schedule's run. A game day shows neither its actions nor what they reach."""
    sealed = schedule.rule.game_day
    lines = list(_actions(experiment))
    more = len(lines) - MOST_LINES
    does = (*lines[:MOST_LINES], *((f"and {more} more lines",) if more > 0 else ()))
    injections = list(experiment.injections())
    longest = sum(bound_s(arguments) for arguments in injections)
    return Request(
        title=SEALED if sealed else one_line(experiment.title, 200),
        file="" if sealed else str(schedule.file),
        sealed=sealed,
        does=() if sealed else does,
        radius="not shown" if sealed else radius,
        bound=f"{duration(longest)} at most, whatever dies" if injections else "as its own actions have it",
        digest=experiment.digest,
        by=tuple(approval.by),
        count=approval.count,
        stands_hours=approval.stands_hours,
    )


def _actions(experiment: ExperimentFile) -> Iterator[str]:
    """What is done, and put back, in words; what is only looked at is left out."""
    for place, activity in experiment.activities():
        if place == "steady-state-hypothesis" or activity.get("type") != "action":
            continue
        provider = activity.get("provider", {})
        what = in_words(activity)
        if (provider.get("module"), provider.get("func")) == INJECT:
            given = {"seconds": 20, **provider.get("arguments", {})}
            what = f"{given.get('fault')} in {given.get('service')} for {given['seconds']} s"
        back = "afterwards, " if place == "rollbacks" else ""
        yield one_line(f"{back}{activity.get('name', '')}: {what}", 200)


def request_text(request: Request) -> str:
    """As a row keeps it."""
    return dump(request)


def read_request(run: DueRun) -> Request | None:
    """What people were asked; None where nobody was, or another version wrote it."""
    try:
        return parse(Request, run.request) if run.request else None
    except ValueError:
        return None


def announcement(
    run: DueRun, request: Request, given: Collection[str], names: Mapping[str, str], now: datetime
) -> Announcement:
    """What a message shows of a run. `given` are the ids of those who approve it as it is, `names` people by id."""
    who = ", ".join(names.get(person, person) for person in sorted(given))
    approved = f"{len(given)} of {request.count}{f' ({who})' if who else ''}"
    by = f", approved by {', '.join(names.get(p, p) for p in run.approved_by.split(', '))}" if run.approved_by else ""
    enough = len(given) >= request.count
    match run.state:
        case "waiting" if not enough:
            status = f"Waits for approval: {approved}"
        case "waiting":
            status = f"Approved, {approved}: begins " + (
                "at its time" if run.due_at > now else "as soon as nothing is against it"
            )
        case "claimed":
            status = f"Begins{by}"
        case "running":
            status = f"Runs on {run.host}{by}"
        case "done":
            status = f"Ended: {run.detail}{by}"
        case _:
            status = f"{run.state.capitalize()}: {run.detail}{by}"
    return Announcement(
        token=run.token,
        schedule=run.schedule,
        due_at=run.due_at,
        request=request,
        status=one_line(status, 500),
        may_decide=run.state == "waiting",
        may_stop=run.state == "running",
    )
