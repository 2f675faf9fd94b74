"""What experiments have shown of a runbook: runs while a fault was known to hold, and whether they repaired it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.durations import duration

# Detectors notice a recovery only after some ticks without a finding (`watch.clear_s`): so long after its fault ended,
# a recovery is still taken for the runbook's.
NOTICED_WITHIN = timedelta(seconds=45)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRun:
    """One run against a fault of an experiment. `recovered_s`: from its start to the recovery; None: it failed."""

    service: str
    fault: str
    at: datetime
    recovered_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Runs of one runbook against experiments, oldest first."""

    runs: tuple[ProvenRun, ...] = ()

    @property
    def successes(self) -> int:
        return sum(run.recovered_s is not None for run in self.runs)

    @property
    def success_rate(self) -> float:
        return self.successes / len(self.runs) if self.runs else 0.0

    @property
    def newest(self) -> datetime | None:
        return max((run.at for run in self.runs), default=None)

    @property
    def median_s(self) -> float | None:
        """The median recovery of the runs that repaired their fault, in seconds."""
        times = [run.recovered_s for run in self.runs if run.recovered_s is not None]
        return statistics.median(times) if times else None

    def of(self, service: str) -> Proof:
        """The runs on one service."""
        return Proof(runs=tuple(run for run in self.runs if run.service == service))

    def since(self, at: datetime) -> Proof:
        """The runs that are not older."""
        return Proof(runs=tuple(run for run in self.runs if run.at >= at))

    def line(self, now: datetime) -> str:
        """One line for whoever is to approve a run."""
        if not self.runs or self.newest is None:
            return "no experiment has tested it yet"
        faults = ", ".join(sorted({run.fault for run in self.runs}))
        ago = duration(max(now - self.newest, timedelta(0)))
        took = "" if self.median_s is None else f", in a median of {self.median_s:.0f} s"
        return f"repaired {self.successes} of {len(self.runs)} faults ({faults}){took}; last tested {ago} ago"


def repaired_s(
    *, succeeded: bool, started: datetime, recovered: datetime | None, fault_ended: datetime
) -> float | None:
    """Seconds from a run's start to the recovery that is its doing; None: it did not repair.

    What recovers only after the fault ended by itself is nobody's doing.
    """
    if not succeeded or recovered is None or recovered < started:
        return None
    return (recovered - started).total_seconds() if recovered <= fault_ended + NOTICED_WITHIN else None


def counts(started: datetime, ended: datetime, fault_began: datetime, fault_ended: datetime) -> bool:
    """Whether a run says anything about a fault: it began and ended while the fault held."""
    return fault_began <= started and ended <= fault_ended
