"""Which end of a call a trouble belongs to: the caller's, or the callee's and the way to it.

A trouble that a caller has with all that it calls is the caller's: a busy event loop, its network, its certificate.
One that a callee has with all its callers is the callee's. One that a single pair has, while both ends are well with
others, is on the way, which counts for the callee. Fails where a caller calls one callee only that nobody else calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

Call = tuple[str, str]  # caller, callee


def caller_shares(troubles: Mapping[Call, float]) -> dict[Call, float]:
    """How much of each call's trouble is the caller's, 0 to 1; the rest is the callee's or the way's.

    Args:
        troubles: trouble a call of every pair that was measured, 0 where there is none: added seconds, or added
            failures. Pairs that are well are what tells the two ends apart.

    >>> caller_shares({("shop", "stock"): 0.1, ("shop", "maps"): 0.1, ("blog", "stock"): 0.0})[("shop", "stock")]
    1.0
    """
    of_caller: defaultdict[str, dict[Call, float]] = defaultdict(dict)
    of_callee: defaultdict[str, dict[Call, float]] = defaultdict(dict)
    for call, trouble in troubles.items():
        of_caller[call[0]][call] = trouble
        of_callee[call[1]][call] = trouble
    return {
        call: _share(call, trouble, of_caller[call[0]], of_callee[call[1]])
        for call, trouble in troubles.items()
        if trouble > 0
    }


def _share(call: Call, trouble: float, same_caller: Mapping[Call, float], same_callee: Mapping[Call, float]) -> float:
    calls_alike, callers_alike = (
        [min(other / trouble, 1.0) for pair, other in pairs.items() if pair != call]
        for pairs in (same_caller, same_callee)
    )
    if not calls_alike:
        return 0.0
    agreeing = sum(calls_alike) / len(calls_alike)
    # Each pair that agrees is a witness, and is believed as far as its side agrees as a whole.
    for_caller = sum(calls_alike) * agreeing
    for_callee = sum(callers_alike) ** 2 / len(callers_alike) if callers_alike else 0.0
    against = 1.0 - agreeing
    return for_caller / (for_caller + for_callee + against) if for_caller > 0 else 0.0
