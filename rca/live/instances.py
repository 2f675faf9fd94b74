"""Which instance of a suspect hurts, where one of several differs from the others.

Instances of a service share its code, its callers and its callees; what one of them alone shows is its own. Each is
compared with the others since the onset, operation by operation, and with its own difference from them before.
Three ways to differ: it fails more, it takes longer, or it serves nothing while others that served beside it still do.
No answer for a service with one instance, or whose instances all changed in the same way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from rca.case import F64, Mask, Text
from rca.levels import trust
from rca.terms import clock
from watchkeeper.durations import duration

# By judgement, and tried on the simulated shop of the tests: no development pack has instances and spans.
HALF_AT = 4.0  # standard errors
FEWEST_CALLS = 3  # of an operation, on both sides of a comparison
LEAST_ERROR = 1e-3  # of a mean logarithm: keeps a certainty finite
GONE_HALF_AT = 2.0  # standard errors of the missed calls
LEAST = 0.2  # a fainter difference is not named
BESIDE_S = 10.0  # for how long another must have served beside it: a successor overlaps for a moment only
MISSED = 5.0  # calls that an instance should have served by now, before it counts as gone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """Requests that a service's instances served: one row per instance, operation and side of the onset, `(n,)`.

    `log_mean` and `log_var` are of the natural logarithm of durations, `busy` is their sum in seconds, `first` and
    `last` are when the first and the last began.
    """

    instance: Text
    operation: Text
    late: Mask
    calls: F64
    errors: F64
    log_mean: F64
    log_var: F64
    busy: F64
    first: F64
    last: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """The instance that differs: how clearly, 0 to 1, a sentence on it and the others, whether it serves no more."""

    instance: str
    strength: float
    sentence: str
    gone: bool = False


def odd_one(served: Served) -> Odd | None:
    """The instance that differs most from the others, None where none does."""
    names = sorted(set(map(str, served.instance)) - {""})
    if len(names) < 2:
        return None
    differing = [*_gone(served, names), *(odd for name in names for odd in (_fails(served, name), _slow(served, name)))]
    best = max((odd for odd in differing if odd), key=lambda odd: (odd.strength, odd.instance), default=None)
    return best if best and best.strength >= LEAST else None


def _fails(served: Served, name: str) -> Odd | None:
    own = served.late & (served.instance == name)
    others = served.late & (served.instance != name)
    n1, n2 = float(served.calls[own].sum()), float(served.calls[others].sum())
    if not n1 or not n2:
        return None
    share, usual = float(served.errors[own].sum()) / n1, float(served.errors[others].sum()) / n2
    pooled = (share * n1 + usual * n2 + 0.5) / (n1 + n2 + 1.0)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2))
    return Odd(
        instance=name,
        strength=max(share - usual, 0.0) * trust((share - usual) / error, HALF_AT),
        sentence=f"instance {name} fails {share:.0%} of its requests, the others {usual:.1%}",
    )


def _slow(served: Served, name: str) -> Odd | None:
    """How many times longer it takes than the others do in the same operations, beyond what it usually did."""
    late = _beyond_others(served, name, served.late)
    if late is None:
        return None
    early = _beyond_others(served, name, ~served.late) or (0.0, 0.0)
    longer = late[0] - early[0]
    error = math.sqrt(late[1] + early[1]) + LEAST_ERROR
    own, others = (served.late & side for side in (served.instance == name, served.instance != name))
    means = [float(served.busy[rows].sum() / served.calls[rows].sum()) for rows in (own, others)]
    return Odd(
        instance=name,
        strength=(1.0 - math.exp(-max(longer, 0.0))) * trust(longer / error, HALF_AT),
        sentence=f"instance {name} takes {duration(means[0])} a request, the others {duration(means[1])}",
    )


def _beyond_others(served: Served, name: str, side: Mask) -> tuple[float, float] | None:
    """Mean difference of log durations to the others over common operations, and its variance."""
    weights, means, variances = [], [], []
    for operation in sorted(set(map(str, served.operation[side & (served.instance == name)]))):
        rows = side & (served.operation == operation)
        own, others = rows & (served.instance == name), rows & (served.instance != name)
        n1, n2 = float(served.calls[own].sum()), float(served.calls[others].sum())
        if n1 < FEWEST_CALLS or n2 < FEWEST_CALLS:
            continue
        m1, m2 = (float(np.average(served.log_mean[part], weights=served.calls[part])) for part in (own, others))
        v1, v2 = (float(np.average(served.log_var[part], weights=served.calls[part])) for part in (own, others))
        weights.append(n1)
        means.append(m1 - m2)
        variances.append(v1 / n1 + v2 / n2)
    if not weights:
        return None
    share = np.array(weights) / sum(weights)
    return float(share @ np.array(means)), float(share**2 @ np.array(variances))


def _gone(served: Served, names: list[str]) -> list[Odd]:
    """The one instance that serves no more, while all that served beside it do: several are a roll-out."""
    last: dict[str, float] = {}
    first: dict[str, float] = {}
    calls: defaultdict[str, float] = defaultdict(float)
    for name in names:
        rows = served.instance == name
        last[name], first[name] = float(served.last[rows].max()), float(served.first[rows].min())
        calls[name] = float(served.calls[rows].sum())
    newest = max(last.values())
    missed = {n: calls[n] / max(last[n] - first[n], 1.0) * (newest - last[n]) for n in names}
    gone = [name for name in names if missed[name] >= MISSED]
    beside = [n for n in names if n not in gone and any(first[n] < last[other] - BESIDE_S for other in gone)]
    if len(gone) != 1 or not beside:
        return []
    sentence = f"instance {gone[0]} has served nothing since {clock(last[gone[0]])}; {', '.join(beside[:3])} still do"
    return [
        Odd(
            instance=gone[0],
            strength=trust(math.sqrt(missed[gone[0]]), GONE_HALF_AT),
            sentence=sentence if len(beside) > 1 else sentence.removesuffix("do") + "does",
            gone=True,
        )
    ]
