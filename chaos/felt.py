"""Whether users felt an experiment: what the entries served while it held, beside the minute before.

A worker that sends notices late, or a proxy's busy processor, may harm nobody; a page is then no duty. Read from the
roll-ups, so that it doesn't depend on any detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from chaos.calls import Observed, Phases
from chaos.scored import ScoredExperiment
from watchkeeper.intervals import Share

FEWEST: Final = 20  # requests before: of fewer, nobody knows
MORE_FAILED: Final = 0.05  # of an entry's requests fail
SLOWER: Final = 1.5  # times as long as before its requests take,
NOTICED_S: Final = 0.1  # and so much longer
FEWER: Final = 0.5  # of the requests before it still serves: the others don't get there


def was_felt(seen: Observed) -> bool | None:
    """Whether an entry failed, was slow or got few requests; None where none had enough before."""
    known = [seen.served[entry] for entry in seen.entries if _calls(seen.served[entry]) >= FEWEST]
    return any(_suffered(phases) for phases in known) if known else None


def felt_recall(known: Iterable[ScoredExperiment], observed: Iterable[Observed]) -> Share:
    """How many were found, of the experiments that took effect and that users felt."""
    felt: Mapping[str, bool | None] = {seen.truth.id: was_felt(seen) for seen in observed}
    return Share.of(one.found for one in known if one.counts and felt.get(one.truth.id))


def _calls(phases: Phases) -> int:
    return phases["before"].calls


def _suffered(phases: Phases) -> bool:
    before, during = phases["before"], phases["during"]
    if not during.seconds:
        return False
    slow = during.mean_s >= SLOWER * before.mean_s and during.mean_s - before.mean_s >= NOTICED_S
    return during.error_share - before.error_share >= MORE_FAILED or slow or during.per_s < FEWER * before.per_s
