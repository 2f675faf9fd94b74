"""What callers did before, during and after an experiment: whom they called how often, how it failed, how slowly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from chaos.journal import ExperimentTruth
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

BUCKET_S: Final = 5
BEFORE: Final = timedelta(seconds=60)
# Calls that waited until the end of the fault end just after it.
AFTER: Final = timedelta(seconds=30)
SETTLED: Final = timedelta(seconds=5)  # after the effect: a bucket that it shares with what was before
Phase = Literal["before", "during", "after"]
K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests of one kind within `seconds`. `longest_s` is the slowest mean of five seconds."""

    calls: int = 0
    errors: int = 0
    busy_s: float = 0.0
    longest_s: float = 0.0
    seconds: float = 0.0

    @property
    def error_share(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    @property
    def mean_s(self) -> float:
        return self.busy_s / self.calls if self.calls else 0.0

    @property
    def per_s(self) -> float:
        return self.calls / self.seconds if self.seconds else 0.0

    def plus(self, calls: int, errors: int, mean_s: float) -> Traffic:
        """With one more bucket."""
        known = mean_s if math.isfinite(mean_s) else 0.0
        return Traffic(
            calls=self.calls + calls,
            errors=self.errors + errors,
            busy_s=self.busy_s + calls * known,
            longest_s=max(self.longest_s, known),
            seconds=self.seconds,
        )


Phases = Mapping[Phase, Traffic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What telemetry shows around one experiment: calls by (caller, callee), served requests by service."""

    truth: ExperimentTruth
    calls: Mapping[tuple[str, str], Phases] = field(default_factory=dict)
    served: Mapping[str, Phases] = field(default_factory=dict)

    @property
    def held_s(self) -> float:
        """How long the fault was felt."""
        return (self.truth.ended - _effect(self.truth)).total_seconds()

    @property
    def entries(self) -> tuple[str, ...]:
        """The services that nobody else calls: customers do."""
        called = {callee for _, callee in self.calls}
        return tuple(sorted(set(self.served) - called))

    def callers(self, service: str) -> tuple[str, ...]:
        return tuple(sorted(caller for caller, callee in self.calls if callee == service and caller != service))


def observe(telemetry: Telemetry, truth: ExperimentTruth) -> Observed:
    """Read it from the roll-ups. Raises StoreError."""
    window = Window(start=truth.began - BEFORE, end=truth.ended + AFTER)
    phases: dict[Phase, tuple[datetime, datetime]] = {
        "before": (window.start, truth.began),
        "during": (min(_effect(truth) + SETTLED, truth.ended), truth.ended),
        "after": (truth.ended, window.end),
    }
    edges, red = telemetry.edges(window, BUCKET_S).to_pylist(), telemetry.red(window, BUCKET_S).to_pylist()
    return Observed(
        truth=truth,
        calls=_by_phase((((row["caller"], row["callee"]), row, row["client_mean_ms"]) for row in edges), phases),
        served=_by_phase(((row["service"], row, row["mean_ms"]) for row in red), phases),
    )


def _by_phase(
    rows: Iterable[tuple[K, Mapping[str, Any], float]], phases: Mapping[Phase, tuple[datetime, datetime]]
) -> dict[K, Phases]:
    """Sums of each key's buckets, by the phase in which a bucket begins."""
    grouped: dict[K, dict[Phase, Traffic]] = {}
    for key, row, mean_ms in rows:
        own = grouped.setdefault(
            key, {name: Traffic(seconds=(end - start).total_seconds()) for name, (start, end) in phases.items()}
        )
        for name, (start, end) in phases.items():
            if start <= row["bucket"] < end:
                own[name] = own[name].plus(row["calls"], row["errors"], mean_ms / 1000)
    return dict(grouped)


def _effect(truth: ExperimentTruth) -> datetime:
    return truth.effect_at or truth.began
