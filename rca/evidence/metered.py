"""Where there are no spans: whose requests became slower or fail most, by metrics, against their own past.

What a service waits for longer, by the metrics of the requests that it makes, is its callee's. Where nothing is known
of those, the largest relative change is taken for the deepest: whoever waits for a callee that takes ten times longer
does other work besides, so its own time grows by a smaller factor; and it fails a smaller share of its requests, since
not each of them needs that callee. That is weak evidence, and counts as such in the chance that is stated
(`rca.calibration`). Fails where the way between two services is slow: then it names the caller.
"""

from __future__ import annotations

import math
from collections import defaultdict

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import metered_case
from rca.ledger import Entry, book_links
from rca.levels import TINY, shares, trust
from rca.terms import Term

HALF_AT = 2.0  # standard errors of a Poisson count of failures
SLOWER_IN_DOUBT = 0.5  # of a usual duration, and of its own noise: what a slowdown must exceed to count by half
FAILING_IN_DOUBT = 0.05  # of the requests


def metered(case: Case) -> list[Term]:
    """Services whose requests take longer or fail, by their metrics, in a system without spans.

    Terms `metered_time` and `metered_errors`, for each of them.
    """
    if case.metered is None or len(case.metered.time) == 0:
        return []
    nodes = dict(case.metered_nodes)
    made = {} if case.metered_links is None else book_links(case.metered_links, None, case.onset)
    # What reports nothing itself is known by what those see of it that call it.
    nodes |= {callee: link for (_, callee), link in sorted(made.items()) if callee not in nodes}
    nodes = {name: entry for name, entry in nodes.items() if entry.calls > 0 and name in case.candidates}
    waiting, passing = _theirs(nodes, made)
    slower = {name: math.log1p(entry.slower * (1.0 - waiting[name])) for name, entry in nodes.items()}
    failing = {name: _failing(entry) * (1.0 - passing[name]) for name, entry in nodes.items()}
    times = shares(slower, SLOWER_IN_DOUBT + max((_noise(entry) for entry in nodes.values()), default=0.0))
    return [
        *(_time(name, nodes[name], share) for name, share in times.items()),
        *(_errors(name, nodes[name], share) for name, share in shares(failing, FAILING_IN_DOUBT).items()),
    ]


def _theirs(
    nodes: dict[str, Entry], made: dict[tuple[str, str], Entry]
) -> tuple[defaultdict[str, float], defaultdict[str, float]]:
    """The shares of each node's added time, and of its added failures, that requests of its own explain, 0 to 1."""
    waited: defaultdict[str, float] = defaultdict(float)
    failed: defaultdict[str, float] = defaultdict(float)
    for (caller, callee), link in made.items():
        if caller != callee:
            waited[caller] += link.extra_seconds
            failed[caller] += max(link.extra_errors, 0.0)
    waiting: defaultdict[str, float] = defaultdict(float)
    passing: defaultdict[str, float] = defaultdict(float)
    for name in waited.keys() & nodes.keys():
        waiting[name] = min(waited[name] / max(nodes[name].extra_seconds, TINY), 1.0)
        passing[name] = min(failed[name] / max(nodes[name].extra_errors, TINY), 1.0)
    return waiting, passing


def _noise(entry: Entry) -> float:
    return entry.noise_seconds / max(entry.usual * entry.calls, TINY) if entry.usual > 0 else 0.0


def _failing(entry: Entry) -> float:
    """The share of requests that fail beyond what is usual, as far as it is believed."""
    extra = max(entry.extra_errors, 0.0)
    return extra / entry.calls * trust(extra / (entry.usual_errors + 1.0) ** 0.5, HALF_AT)


def _time(name: str, entry: Entry, share: float) -> Term:
    return Term(
        kind="metered_time",
        candidate=name,
        strength=share,
        sentence=f"requests of {name} take {1.0 + entry.slower:.3g} times as long as usual, by metrics",
        signal="latency",
        operation=entry.worst_operation or None,
        hints={"latency": share},
    )


def _errors(name: str, entry: Entry, share: float) -> Term:
    rate, usual = entry.errors / entry.calls, entry.usual_errors / entry.calls
    return Term(
        kind="metered_errors",
        candidate=name,
        strength=share,
        sentence=f"{rate:.0%} of the requests of {name} fail (usually {usual:.1%}), by metrics",
        signal="errors",
        value=rate,
        expected=usual,
        unit="share",
        hints={"errors": share},
    )


METERED = EvidenceKind(
    explain=metered,
    weights={"metered_time": 2.0, "metered_errors": 2.0},
    needs=frozenset({"metered"}),
    reads=frozenset({"metered_links"}),
    example=metered_case,
)
