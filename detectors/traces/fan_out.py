"""How many calls a request makes: retries, a loop that grew, a cache that went cold, a step that is left out. Tickets.

Idea: for each call edge, calls over the requests that its caller answered. The last minute against the minutes
before: reported where it changed at least twofold, in both halves of the minute, by more than those minutes differ
among themselves and by more than chance. Reported until the new ratio has become a good part of the past. Traffic by
itself changes nothing, for it is on both sides of the ratio. Assumes callers that answer requests; what works off a
schedule has none and is not judged. A new mix of a caller's operations changes the ratio as well. Cost: one (edges,
buckets) array.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from scipy.special import pdtr, pdtrc

from detectors.detector import Seen, Setup
from detectors.evidence import Bools, Floats, by_group, robust_level, to_probability
from detectors.history import History
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
RECENT: Final = 6  # buckets: a minute
LATE: Final = 1  # newest buckets left out: edges are joined some seconds after the requests are counted
BLOCKS: Final = 5  # minutes of the past, at least
TIMES: Final = 2.0  # a ratio that doubled or halved: what a retry or a lost cache does at least
LEAST: Final = 20.0  # requests, and calls expected or seen, in the judged minute
CLEAR: Final = 5.0  # spreads of the minutes before
CHANCE: Final = 1e-6  # of such counts: thousands of edges are looked at all day


class CallsPerRequest:
    """Services that make more, or fewer, calls for each request than usual. Tickets."""

    version = VERSION
    needs = ("edges", "red")

    def __init__(self, setup: Setup) -> None: ...

    @staticmethod
    def example() -> Example:
        """A service that calls another four times for each request instead of once."""
        telemetry = Simulated(
            seconds=2200,
            requests={("web", "GET /"): lambda _: Requests(per_s=10)},
            calls={("web", "cart"): lambda t: 40.0 if 900 <= t < 1080 else 10.0},
        )
        return Example(telemetry=telemetry, begins_s=900, ends_s=1080)

    def judge(self, seen: Seen) -> list[Finding]:
        """A ticket for the clearest edge of each caller."""
        now, edges, complete = seen.now, seen["edges"], seen.complete["edges"] - LATE
        if edges.size == 0 or complete < (BLOCKS + 1) * RECENT:
            return []
        names = edges.names()
        calls = edges["calls"][:, :complete]
        requests = _requests(edges, seen["red"])[:, :complete]
        usual, spread, known = _past(calls[:, :-RECENT], requests[:, :-RECENT])
        made, asked = calls[:, -RECENT:].sum(axis=1), requests[:, -RECENT:].sum(axis=1)
        expected = usual * asked
        halves_up, halves_down = _halves(calls, requests, usual)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = made / asked
            clear = np.abs(ratio - usual) > CLEAR * spread
            # Calls come in bunches, one request's together: of that size must be what chance would have to explain.
            bunch = np.maximum(usual, 1.0)
            chance = np.where(
                halves_up, pdtrc(made / bunch - 1.0, expected / bunch), pdtr(made / bunch, expected / bunch)
            )
        much = (asked >= LEAST) & (np.maximum(made, expected) >= LEAST) & (made > 0)
        changed = known & much & clear & (halves_up | halves_down) & (chance < CHANCE)
        best: dict[str, int] = {}
        for row in np.flatnonzero(changed)[np.argsort(chance[changed], kind="stable")].tolist():
            best.setdefault(names[row][0], row)
        onset = utc(float(edges.starts()[complete - RECENT]))
        return [
            self._finding(names[row], float(ratio[row]), float(usual[row]), float(chance[row]), onset, now)
            for row in best.values()
        ]

    def _finding(
        self, edge: tuple[str, ...], ratio: float, usual: float, chance: float, onset: datetime, now: datetime
    ) -> Finding:
        caller, callee = edge[0], edge[1]
        return Finding(
            detector="topology.shape",
            detector_version=self.version,
            kind="topology",
            service=caller,
            summary=f"{caller} makes {ratio:.2g} calls to {callee} for each request (usually {usual:.2g})",
            onset=min(onset, now),
            seen_at=now,
            score=float(to_probability(np.array(-np.log(max(chance, 1e-30))))),
            severity="ticket",
            signal=f"{caller} → {callee}",
            value=ratio,
            expected=usual,
            unit="calls a request",
            key=f"topology:shape:{caller}",
        )


def _past(calls: Floats, requests: Floats) -> tuple[Floats, Floats, Bools]:
    """Usual calls a request, how much minutes differ in it, and whether enough minutes are known; each (edges,)."""
    blocks = calls.shape[1] // RECENT
    complete = slice(calls.shape[1] - blocks * RECENT, None)
    made = calls[:, complete].reshape(len(calls), blocks, RECENT).sum(axis=2)
    asked = requests[:, complete].reshape(len(calls), blocks, RECENT).sum(axis=2)
    seen = (asked >= LEAST) & (np.cumsum(made, axis=1) > 0)
    # The first minute with a call may have begun before the first call was reported.
    seen &= np.cumsum(seen, axis=1) > 1
    ratio = np.where(seen, made / np.maximum(asked, 1.0), np.nan)
    spread = robust_level(ratio, seen)[1]
    total = np.where(seen, asked, 0.0).sum(axis=1)
    usual = np.where(seen, made, 0.0).sum(axis=1) / np.maximum(total, 1.0)
    return usual, np.nan_to_num(spread), np.asarray(seen.sum(axis=1) >= BLOCKS - 1)


def _halves(calls: Floats, requests: Floats, usual: Floats) -> tuple[Bools, Bools]:
    """Whether both halves of the judged minute have far more calls a request than usual, and far fewer."""
    up, down = np.ones(len(calls), np.bool_), np.ones(len(calls), np.bool_)
    for half in (slice(-RECENT, -RECENT // 2), slice(-RECENT // 2, None)):
        made, asked = calls[:, half].sum(axis=1), requests[:, half].sum(axis=1)
        up &= (asked > 0) & (made >= TIMES * usual * asked)
        down &= (asked > 0) & (made * TIMES <= usual * asked)
    return up, down


def _requests(edges: History, red: History) -> Floats:
    """The requests that each edge's caller answered, by the edges' buckets, (edges, buckets).

    The buckets of `red` divide those of `edges`.
    """
    callers = [name[0] for name in edges.names()]
    services, code = np.unique(np.array([name[0] for name in red.names()]), return_inverse=True)
    if services.size == 0:
        return np.zeros((len(callers), edges.buckets))
    complete = by_group(code.reshape(-1), red["calls"])
    place = np.minimum(np.searchsorted(services, callers), services.size - 1)
    column = (red.starts() - edges.starts()[0]) // edges.step_s
    inside = (column >= 0) & (column < edges.buckets)
    summed = np.zeros((services.size, edges.buckets))
    np.add.at(summed.T, column[inside], complete[:, inside].T)
    return np.asarray(np.where((services[place] == np.array(callers))[:, None], summed[place], 0.0))
