"""False pages and missed troubles: shares by service, team and shift, each with its interval.

A page is false when its incident was judged so. A miss is a finding that was suppressed and that somebody reopened.
An incident counts once for each service that had a finding in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from detectors.learning.examples import Example
from detectors.learning.suppression import Reopening
from detectors.learning.track_record import verdicts
from watchkeeper.intervals import wilson

SHIFT_HOURS: Final = 8  # three shifts a day, the usual working shift
# Before so many cases a group is not called treated unfairly.
LEAST_CASES: Final = 8
NO_TEAM: Final = "no team"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One judgement about one service; `bad` is a false page, or a miss."""

    service: str
    at: datetime
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`wrong` of a group's `judged` cases were bad, with the 95 % interval of that share."""

    group: str
    wrong: int
    judged: int
    low: float
    high: float


By = Callable[[Case], str]


def pages(known: Sequence[Example]) -> list[Case]:
    """Every judged page; bad where it was false."""
    verdict = verdicts(known)
    seen = {(one.incident_id, one.finding.service): one.finding.onset for one in known}
    return [
        Case(service=service, at=onset, bad=not verdict[incident_id].warranted)
        for (incident_id, service), onset in seen.items()
    ]


def troubles(known: Sequence[Example], reopened: Iterable[Reopening]) -> list[Case]:
    """Everything that warranted a page; bad where there was none."""
    paged = [Case(service=one.service, at=one.at, bad=False) for one in pages(known) if not one.bad]
    return paged + [Case(service=one.service, at=one.at, bad=True) for one in reopened]


def by_service(case: Case) -> str:
    """Its service."""
    return case.service


def by_shift(case: Case) -> str:
    """The eight hours of the day, UTC, in which it began."""
    start = case.at.hour // SHIFT_HOURS * SHIFT_HOURS
    return f"{start:02d}:00 to {start + SHIFT_HOURS:02d}:00 UTC"


def by_team(teams: Mapping[str, Sequence[str]]) -> By:
    """The team of its service."""
    owner = {service: team for team, services in teams.items() for service in services}
    return lambda case: owner.get(case.service, NO_TEAM)


def ways(teams: Mapping[str, Sequence[str]]) -> dict[str, By]:
    """Every way to group cases, by name."""
    return {"service": by_service, "shift": by_shift, **({"team": by_team(teams)} if teams else {})}


def shares(cases: Iterable[Case], by: By) -> tuple[Share, ...]:
    """The share of bad cases of each group, the surely worst first."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(by(case), []).append(case)
    known = []
    for group, own in groups.items():
        wrong = sum(case.bad for case in own)
        low, high = wilson(wrong, len(own))
        known.append(Share(group=group, wrong=wrong, judged=len(own), low=low, high=high))
    return tuple(sorted(known, key=lambda share: (-share.low, share.group)))


def unfair(cases: Sequence[Case], by: By) -> tuple[Share, Share] | None:
    """The group whose interval lies above that of all others together, and those others; None where none does."""
    known = shares(cases, by)
    if len(known) < 2 or known[0].judged < LEAST_CASES:
        return None
    worst = known[0]
    (others,) = shares([case for case in cases if by(case) != worst.group], lambda _: "elsewhere")
    return (worst, others) if worst.low > others.high else None
