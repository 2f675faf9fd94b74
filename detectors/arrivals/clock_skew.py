"""Clocks that are off: a call cannot be served before it is made, nor after it has ended.

Where the two sides of a call report intervals that do not even overlap, one of their clocks is wrong. The offsets of
all pairs of services make a graph; the largest group whose clocks agree is taken for right, and everybody else's skew
follows from there. Among two who disagree, the one whose telemetry carries times in the future, or comes later, is off.

A delivery that is late moves no time within a trace, so it is never mistaken for a skewed clock here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from detectors.detector import Seen, Setup
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Finding

VERSION: Final = "1"

AGREE_S: Final = 1.0  # clocks that differ by less are kept in step by ordinary means
SKEWED_S: Final = 2.0  # from here on a ticket: onsets and the order of causes are wrong by that much
FEWEST_CALLS: Final = 5  # calls of a pair before its offset is believed: one or two may be broken traces
BUCKET_S: Final = 5.0  # of the request roll-up: its newest bucket ends up to so much later than its newest span
MOST_TICKETS: Final = 50  # of the longest known: more would hide everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """How far a callee's clock is ahead of its caller's, in seconds, by so many calls whose sides do not overlap."""

    caller: str
    callee: str
    seconds: float
    calls: int


def skews(offsets: Sequence[Offset], delays: Mapping[str, float]) -> dict[str, float]:
    """How far each service's clock is ahead, in seconds, where it is off; empty when all agree.

    Args:
        offsets: every pair that calls each other, those that agree included.
        delays: seconds by which each service's newest telemetry is behind (negative: in the future).
    """
    near: dict[str, dict[str, float]] = defaultdict(dict)
    calls: dict[str, int] = defaultdict(int)
    for one in offsets:
        if one.calls >= FEWEST_CALLS:
            near[one.caller][one.callee] = one.seconds
            near[one.callee][one.caller] = -one.seconds
            calls[one.caller] += one.calls
            calls[one.callee] += one.calls
    skewed: dict[str, float] = {}
    left = set(near)
    while left:
        island = _reached(min(left), near, within_s=float("inf"))
        left -= island
        right = _most_trusted(island, near, calls, delays)
        ahead = dict.fromkeys(right, 0.0)
        frontier = sorted(right)
        while frontier:
            service = frontier.pop()
            for other, offset in near[service].items():
                if other not in ahead:
                    ahead[other] = ahead[service] + offset
                    frontier.append(other)
        skewed |= {service: seconds for service, seconds in ahead.items() if abs(seconds) >= SKEWED_S}
    return skewed


def _most_trusted(
    island: set[str], near: Mapping[str, Mapping[str, float]], calls: Mapping[str, int], delays: Mapping[str, float]
) -> set[str]:
    """The largest group of one island whose clocks agree; among equals, the one whose telemetry is most in time."""
    groups = []
    left = set(island)
    while left:
        group = _reached(min(left), near, within_s=AGREE_S)
        left -= group
        groups.append(group)

    def trust(group: set[str]) -> tuple[int, float, int, str]:
        off = max((abs(delays.get(service, 0.0)) for service in group), default=0.0)
        return len(group), -off, sum(calls[service] for service in group), min(group)

    return max(groups, key=trust)


def _reached(start: str, near: Mapping[str, Mapping[str, float]], *, within_s: float) -> set[str]:
    reached, frontier = {start}, [start]
    while frontier:
        for other, offset in near[frontier.pop()].items():
            if abs(offset) <= within_s and other not in reached:
                reached.add(other)
                frontier.append(other)
    return reached


class ClockSkews:
    """Clocks that are off by more than two seconds. Tickets."""

    version = VERSION
    needs = ("clocks",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns clocks
        self._since: dict[str, datetime] = {}

    @staticmethod
    def example() -> Example:
        """A clock that goes half a minute ahead and is set right again."""
        telemetry = Simulated(
            seconds=2200,
            requests={(name, "GET /"): lambda _: Requests(per_s=10) for name in ("web", "cart", "pay")},
            offsets={
                ("web", "cart"): lambda _: 0.0,
                ("web", "pay"): lambda t: 30.0 if 900 <= t < 1500 else 0.0,
            },
        )
        return Example(telemetry=telemetry, begins_s=900, ends_s=1500)

    def judge(self, seen: Seen) -> list[Finding]:
        """A ticket for each clock that is off, the longest known first."""
        self._since = {service: self._since.get(service, seen.now) for service in seen.clocks}
        shown = sorted(seen.clocks, key=lambda service: (self._since[service], service))[:MOST_TICKETS]
        return [self._finding(service, seen.clocks[service], seen.now) for service in sorted(shown)]

    def _finding(self, service: str, seconds: float, now: datetime) -> Finding:
        return Finding(
            detector="clock",
            detector_version=self.version,
            kind="metric",
            service=service,
            summary=f"{service}'s clock is {abs(seconds):,.0f} s {'ahead' if seconds > 0 else 'behind'}: "
            "its spans carry times at which they cannot have happened",
            onset=self._since[service],
            seen_at=now,
            score=min(1.0, 0.9 + abs(seconds) / 36_000),
            severity="ticket",
            signal="clock",
            value=seconds,
            expected=0.0,
            unit="s",
        )


def from_the_future(newest: Mapping[str, float], known: Mapping[str, float], now: float) -> dict[str, float]:
    """Clocks that must be ahead, since their newest data ends in the future, beside those `known`: seconds by service.

    `newest` is the end of a bucket, which may lie a bucket ahead of a right clock.
    """
    return {
        service: end - now
        for service, end in newest.items()
        if service not in known and end - now > SKEWED_S + BUCKET_S
    }
