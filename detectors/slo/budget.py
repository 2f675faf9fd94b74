"""What has become of an error budget: what is left, how fast it burns, when it is gone, and what used it up. Pure.

Of the budget's window, each bad event uses up `1 / (events * (1 - target))` of the budget, by the events of the entire
window as it is now. The window rolls: what was bad at its beginning drops out of it as time goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from detectors.evidence import Bools, Floats
from detectors.slo.minutes import STEP_S, Minutes
from detectors.slo.openslo import Slo
from watchkeeper.intervals import poisson
from watchkeeper.vocabulary import Window, utc

BURNS_S: Final = (3600, 6 * 3600, 3 * 86_400)
PACE_S: Final = 6 * 3600  # a forecast goes on as these last hours
BLOCK_S: Final = 1800  # bad events come in bursts: blocks of this length count as independent
T_95: Final = 2.20  # Student's t for twelve blocks, two-sided
MOST_EXACT: Final = 400  # events up to which a count's own interval matters beside that of the blocks
HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """The last `seconds`: events, bad ones, and how many times too fast they burn; None without an event."""

    seconds: int
    total: float
    bad: float
    rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the budget is gone if the last hours' share of bad events goes on. None: not within the window's length.

    `earliest` and `latest` are the ends of its interval (95 %): by the highest and the lowest likely share. `back` is
    when a budget that is used up has something left again, as old bad events drop out; None: it is not, or never has.
    """

    gone: datetime | None
    earliest: datetime | None
    latest: datetime | None
    until: datetime
    back: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A part of the budget (1 is all of it) that was used up in a span of time."""

    window: Window
    share: float
    bad: float


def left(slo: Slo, minutes: Minutes) -> float | None:
    """What is left: 1 is untouched, below 0 overdrawn; None if there was no event."""
    allowed = allowance(slo, minutes)
    return 1.0 - float(minutes.bad.sum()) / allowed if allowed else None


def burns(slo: Slo, minutes: Minutes) -> tuple[Burn, ...]:
    """How fast the budget burns over the last hour, six hours and three days; none longer than the window."""
    found = []
    for seconds in BURNS_S:
        if seconds > slo.window_s:
            continue
        good, total = minutes.sums(seconds)
        bad = max(0.0, total - good)
        rate = bad / total / (1 - slo.target) if total else None
        found.append(Burn(seconds=seconds, total=total, bad=bad, rate=rate))
    return tuple(found)


def course(slo: Slo, minutes: Minutes, points: int = 400) -> tuple[list[datetime], Floats]:
    """What was left over time: times and shares, `(n,)`, from 1 at the first event to what is left now."""
    allowed = allowance(slo, minutes)
    seen = np.flatnonzero(minutes.total)
    first = int(seen[0]) if len(seen) else 0
    used = np.concatenate([[0.0], np.cumsum(minutes.bad)]) / (allowed or 1.0)
    # Every step down stays visible: the end of each stretch of minutes is exact.
    places = np.unique(np.linspace(first, len(used) - 1, min(points, len(used) - first)).astype(np.int64))
    return [utc(float(minutes.start + place * STEP_S)) for place in places.tolist()], 1.0 - used[places]


def counted_since(minutes: Minutes) -> datetime | None:
    """The first minute with an event; None without one."""
    seen = np.flatnonzero(minutes.total)
    return utc(float(minutes.start + int(seen[0]) * STEP_S)) if len(seen) else None


def forecast(slo: Slo, minutes: Minutes, now: datetime) -> Forecast | None:
    """When the budget will be gone; None without an event in the last hours.

    The share of bad events goes on as in the last six hours, the traffic as in the window; old events drop out.
    """
    last = min(PACE_S, slo.window_s) // STEP_S
    total, bad = minutes.total[-last:], minutes.bad[-last:]
    until = now + timedelta(seconds=slo.window_s)
    if not total.sum():
        return None
    whole, (low, high) = float(bad.sum() / total.sum()), _share_bounds(total, bad)
    gone, earliest, latest = (_first(_is_gone(slo, minutes, share), now) for share in (whole, high, low))
    back = _first(~_is_gone(slo, minutes, whole), now) if gone == now else None
    return Forecast(gone=gone, earliest=earliest, latest=latest, until=until, back=back)


def worst_hours(slo: Slo, minutes: Minutes, most: int = 5) -> tuple[Spent, ...]:
    """The clock hours that used up most of the budget, the worst first; none that used up nothing."""
    allowed = allowance(slo, minutes)
    at = minutes.start + STEP_S * np.arange(len(minutes.bad))
    hours, place = np.unique(at // HOUR_S * HOUR_S, return_inverse=True)
    bad = np.bincount(place, weights=minutes.bad)
    order = [i for i in np.argsort(-bad, kind="stable")[:most].tolist() if bad[i] > 0]
    return tuple(
        Spent(
            window=Window(start=utc(float(hours[i])), end=utc(float(hours[i] + HOUR_S))),
            share=float(bad[i]) / allowed,
            bad=float(bad[i]),
        )
        for i in order
    )


def spent_within(slo: Slo, minutes: Minutes, windows: Sequence[Window]) -> Spent | None:
    """What was used up within several windows, each minute counted once; None if they lie outside."""
    inside = np.zeros(len(minutes.bad), np.bool_)
    for window in windows:
        first, last = ((edge.timestamp() - minutes.start) / STEP_S for edge in (window.start, window.end))
        inside[max(0, math.floor(first)) : max(0, math.ceil(last))] = True
    if not inside.any():
        return None
    allowed = allowance(slo, minutes)
    bad = float(minutes.bad[inside].sum())
    window = Window(start=min(one.start for one in windows), end=max(one.end for one in windows))
    return Spent(window=window, share=bad / allowed if allowed else 0.0, bad=bad)


def allowance(slo: Slo, minutes: Minutes) -> float:
    """Bad events that use up the budget exactly."""
    return float(minutes.total.sum()) * (1 - slo.target)


def _share_bounds(total: Floats, bad: Floats) -> tuple[float, float]:
    """The interval of the share of bad events: by the spread of blocks, and of few events by their count as well."""
    whole = float(bad.sum() / total.sum())
    size = BLOCK_S // STEP_S
    blocks = len(bad) // size
    sums = bad[len(bad) - blocks * size :].reshape(blocks, size).sum(axis=1)
    half = T_95 * float(sums.std(ddof=1)) * math.sqrt(blocks) / float(total.sum()) if blocks > 1 else 0.0
    low, high = max(0.0, whole - half), min(1.0, whole + half)
    if bad.sum() <= MOST_EXACT:
        fewest, most = poisson(round(float(bad.sum())))
        low, high = min(low, fewest / float(total.sum())), max(high, min(1.0, most / float(total.sum())))
    return low, high


def _is_gone(slo: Slo, minutes: Minutes, share: float) -> Bools:
    """Whether nothing is left in so many minutes from now, `(n_minutes + 1,)`, if a share of all events is bad."""
    since = counted_since(minutes)
    total, bad = minutes.total, minutes.bad
    first = 0 if since is None else int(since.timestamp() - minutes.start) // STEP_S
    pace = float(total.sum()) / max(len(total) - first, 1)
    ahead = np.arange(len(total) + 1)
    events = total.sum() - np.concatenate([[0.0], np.cumsum(total)]) + pace * ahead
    failed = bad.sum() - np.concatenate([[0.0], np.cumsum(bad)]) + share * pace * ahead
    return np.asarray(failed >= events * (1 - slo.target))


def _first(holds: Bools, now: datetime) -> datetime | None:
    places = np.flatnonzero(holds)
    return now + timedelta(seconds=int(places[0]) * STEP_S) if len(places) else None
