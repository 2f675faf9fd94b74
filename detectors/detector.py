"""What a detector is: a class that says what it reads, is made once, and judges at every tick.

    class QueueGrows:
        \"\"\"A queue that holds more than a thousand messages.\"\"\"

        version = "1"
        needs = ("metrics",)

        def __init__(self, setup: Setup) -> None: ...

        def judge(self, seen: Seen) -> list[Finding]: ...

It is found by an entry point of the group `watchkeeper.detectors`. The entry point's name is the detector's: the
`detector` of each of its findings is that name, or begins with it and a dot. Labels are kept by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import pyarrow as pa

from detectors.history import History
from watchkeeper.vocabulary import Finding, Window

if TYPE_CHECKING:
    from detectors.slo.openslo import Slo

# What a detector may need, by name. The first five are histories: rings of buckets, one row a series.
NEEDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "red": "calls, errors and mean_ms by service and operation, buckets of 5 s",
        "latency": "calls, p50_ms, p90_ms, p95_ms and p99_ms by service and operation, buckets of 30 s",
        "logs": "lines by service and severity, buckets of 5 s",
        "metrics": "value by service, metric and attributes, buckets of 10 s",
        "edges": "calls by caller and callee, buckets of 10 s",
        "lines": "new log lines: bucket, service, severity, body, lines; buckets of 10 s",
        "served": "a function that counts an operation's requests and failures by the minute, for long windows",
        "clocks": "services whose clock is off, and by how much",
    }
)

# The quantiles of latency that are kept, by column.
QUANTILES: Final[Mapping[str, float]] = MappingProxyType({"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99})

Served = Callable[[str, str, Window], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a detector is made with.

    Attributes:
        clear_s: seconds for which a series must be normal before its finding ends (`watch.clear_s`).
        objectives: service level objectives of this installation (`slo`).
    """

    clear_s: float = 15.0
    objectives: tuple[Slo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Log lines of buckets that are complete since the last tick: bucket, service, severity, body, lines.

    `newest` is the start of the last bucket. `unread` lines were over the limit of the read.
    """

    table: pa.Table
    newest: datetime
    unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a detector sees at one tick; of what it needs, nothing is missing.

    Attributes:
        now: the time of this tick.
        histories: by name, as in `NEEDS`.
        complete: how many columns of each history, from the left, no late row will change much.
        lines: log lines since the last tick; None where no bucket was completed.
        served: counts (minute, total, bad) of a service's operation ("" for all) in a window.
        clocks: seconds by which services' clocks are ahead, where they are off.
        findings: what detectors that were judged before found at this tick.
        model_version: the version of the detectors' model that serves; "0" is the built-in one.
    """

    now: datetime
    histories: Mapping[str, History] = field(default_factory=dict)
    complete: Mapping[str, int] = field(default_factory=dict)
    lines: LogLines | None = None
    served: Served | None = None
    clocks: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    model_version: str = "0"

    def __getitem__(self, name: str) -> History:
        """A history that the detector needs."""
        try:
            return self.histories[name]
        except KeyError:
            raise KeyError(f"{name!r} is not read: name it in the detector's `needs`") from None


class Detector(Protocol):
    """Judges what it sees, at every tick."""

    def judge(self, seen: Seen) -> list[Finding]:
        """Every finding that fires now. The same trouble has the same key at every tick."""
        ...


@runtime_checkable
class Warming(Protocol):
    """A detector that takes longer to be ready than the level of requests does."""

    def waits(self) -> Mapping[str, str]:
        """What each service still waits for, in words; services that wait for nothing are left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPart:
    """A detector as the registry has it: how it is made, what it reads, and which others it comes after."""

    name: str
    make: Callable[[Setup], Detector]
    needs: tuple[str, ...]
    after: tuple[str, ...] = ()

    def owns(self, detector: str) -> bool:
        """Whether a finding of this name is its own."""
        return detector == self.name or detector.startswith(self.name + ".")
