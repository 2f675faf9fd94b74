"""Whether users feel what is wrong, and so whether it pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np

from detectors.detector import Seen
from detectors.evidence import Bools, Floats
from detectors.red.entries import Entries
from detectors.red.rows import JUDGED, REACH, Rows
from watchkeeper.vocabulary import FindingKind, Severity

ENOUGH: Final = 20.0  # requests in five minutes: of fewer, nobody knows what users feel
BUSY: Final = 5.0  # requests a bucket that an operation usually serves, before users miss it while its service goes on
GOES_ON: Final = 0.7  # of a service's other requests must still come then
ALIVE_S: Final = 10.0  # after a silence began: what is exported later comes from a process that runs


@dataclass(frozen=True)
class Felt:
    """One tick's knowledge of users.

    Attributes:
        entries: who calls whom.
        troubled: services that fail or are slow, by a good part of the evidence that raises.
        enough: rows with enough requests for anybody to feel something.
        noticed: rows whose requests are slower by what a human notices, where they are slow.
        missed: operations that users miss when no requests of theirs come.
        seen: what else was seen.
    """

    entries: Entries
    troubled: set[str]
    enough: Bools
    noticed: Bools
    missed: Bools
    seen: Seen

    @classmethod
    def of(cls, rows: Rows, usual: Floats, entries: Entries, evident: Bools, noticed: Bools, seen: Seen) -> Felt:
        """From usual requests a bucket and the rows in which trouble is evident, (rows,) each."""
        known = np.nan_to_num(usual)
        enough = np.maximum(rows.recent_calls.sum(axis=1), known * REACH) >= ENOUGH
        numbers = rows.owners[evident & enough].tolist()
        count = len(rows.operations)
        recent = rows.recent_calls[:, -JUDGED:].mean(axis=1)
        others, now = known[count:][rows.code] - known[:count], recent[count:][rows.code] - recent[:count]
        missed = np.zeros(rows.count, np.bool_)
        missed[:count] = (known[:count] >= BUSY) & (others > 0) & (now >= GOES_ON * others)
        return cls(entries, {rows.services[number] for number in set(numbers)}, enough, noticed, missed, seen)

    @cached_property
    def exported(self) -> dict[str, float]:
        """When each service last exported metrics or log lines, Unix seconds: asked of what is silent alone."""
        return exported(self.seen)

    def severity(self, row: int, service: str, kind: FindingKind, onset: datetime) -> Severity:
        """Page for what users feel, else ticket."""
        if kind == "traffic":
            return "page" if self.missed[row] and self.entries.known and self.entries.is_entry(service) else "ticket"
        if kind == "silence" and self.exported.get(service, 0.0) >= onset.timestamp() + ALIVE_S:
            return "ticket"  # it runs, and is not asked: whoever calls it may have stopped
        if kind == "latency" and not self.noticed[row]:
            return "ticket"
        return "page" if self.enough[row] and self.entries.feels(service, self.troubled) else "ticket"


def exported(seen: Seen) -> dict[str, float]:
    """The start of the newest complete bucket with a metric or a log line of each service, Unix seconds."""
    newest: dict[str, float] = {}
    for name, column in (("metrics", "value"), ("logs", "lines")):
        history = seen.histories.get(name)
        if history is None or history.size == 0:
            continue
        complete = seen.complete.get(name, 0)
        came = np.nan_to_num(history[column][:, max(0, complete - REACH) : complete]) != 0
        last = np.where(came.any(axis=1), came.shape[1] - 1 - np.argmax(came[:, ::-1], axis=1), -1)
        starts = history.starts()[max(0, complete - REACH) : complete]
        for (service, *_), at in zip(history.names(), last.tolist(), strict=True):
            if at >= 0:
                newest[service] = max(newest.get(service, 0.0), float(starts[at]))
    return newest
