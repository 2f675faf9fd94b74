"""Decides what happens in a world, and when: harmless things from the start, faults after a calm quarter of an hour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from chaos.worlds.benign import BENIGN
from chaos.worlds.flows import Flows
from chaos.worlds.habits import Instrumentation
from chaos.worlds.harm import felt
from chaos.worlds.levers import Levers
from chaos.worlds.physics import STEP_S, simulate
from chaos.worlds.recording import Event
from chaos.worlds.service_faults import SERVICE_FAULTS
from chaos.worlds.shared_faults import SHARED_FAULTS
from chaos.worlds.stage import Kind, Script, Stage
from chaos.worlds.system import F64, System

FAULTS: Final[dict[str, Kind]] = {**SERVICE_FAULTS, **SHARED_FAULTS}
CALM_S: Final = 960.0  # before the first fault
APART_S: Final = 500.0  # from one fault's end to the next one's beginning
SHORTEST_S, LONGEST_S = 300.0, 660.0  # of a fault
TRIES: Final = 40  # kinds and places that are drawn until one fits


@dataclass(frozen=True, kw_only=True, eq=False)
class Directed:
    """What happens.

    Attributes:
        flows: the system's behaviour with all of it; calm: with the harmless things alone.
        outside: requests a second that come from outside, by operation.
    """

    flows: Flows
    calm: Flows
    levers: Levers
    script: Script
    events: tuple[Event, ...]
    outside: Mapping[int, F64]


@dataclass(slots=True)
class Director:
    """Draws events for one system."""

    rng: np.random.Generator
    system: System
    instrumentation: Instrumentation
    outside: Mapping[int, F64]
    start: int
    seconds: int
    _usual: Flows = field(init=False)

    def direct(self, faults: int, kind: str | None, harmless: Collection[str] | None) -> Directed:
        """Draw and stage everything, and compute what users felt of it.

        Raises:
            ValueError: the system has no place for a fault of the kind that was asked for.
        """
        _require("fault", [kind] if kind else [], FAULTS)
        _require("harmless change", harmless or [], BENIGN)
        buckets = int(self.seconds / STEP_S)
        script = Script(start=self.start)
        self._usual = simulate(self.system, self.outside, Levers(buckets))
        levers, calm, events = self._harmless(script, harmless)
        spans = self._spans(faults)
        flows = calm
        for begins_s, ends_s in spans:
            own = Levers(buckets)
            event = self._fault(own, script, begins_s, ends_s, kind)
            levers.add(own)
            events.append(event)
        if spans:
            flows = simulate(self.system, self.outside, levers)
        events = [self._judged(event, flows, calm) if event.harmful else event for event in events]
        return Directed(
            flows=flows,
            calm=calm,
            levers=levers,
            script=script,
            events=tuple(sorted(events, key=lambda event: event.begins_s)),
            outside=self.outside,
        )

    def _spans(self, faults: int) -> list[tuple[float, float]]:
        """When faults begin and end; the last one may stay to the end."""
        spans: list[tuple[float, float]] = []
        since = CALM_S
        for left in range(faults, 0, -1):
            needed = left * SHORTEST_S + (left - 1) * APART_S
            latest = max(since, self.seconds - needed)
            begins = float(self.rng.uniform(since, min(latest, since + 500)))
            room = self.seconds - begins - (needed - SHORTEST_S)
            ends = begins + float(self.rng.uniform(SHORTEST_S, max(min(LONGEST_S, room), SHORTEST_S)))
            if left == 1 and self.rng.random() < 0.25:
                ends = float(self.seconds)
            spans.append((begins, min(ends, float(self.seconds))))
            since = ends + APART_S
        return spans

    def _stage(self, kind: str, levers: Levers, script: Script, begins_s: float, ends_s: float) -> Stage:
        return Stage(
            kind=kind,
            rng=self.rng,
            system=self.system,
            instrumentation=self.instrumentation,
            usual=self._usual,
            levers=levers,
            script=script,
            begins_s=begins_s,
            ends_s=ends_s,
            gradual=bool(self.rng.random() < 0.35),
        )

    def _harmless(self, script: Script, wanted: Collection[str] | None) -> tuple[Levers, Flows, list[Event]]:
        """Stage harmless things that users do not feel, even together."""
        buckets = int(self.seconds / STEP_S)
        levers, flows, events = Levers(buckets), self._usual, list[Event]()
        kinds = self.rng.permutation(sorted(BENIGN)).tolist()[: int(self.rng.integers(3, 8))]
        kinds = kinds if wanted is None else sorted(wanted)
        for number, kind in enumerate(kinds):
            late = number % 2 == 1
            begins = float(self.rng.uniform(700, self.seconds - 120) if late else self.rng.uniform(60, 900))
            ends = min(begins + float(self.rng.uniform(120, 600)), float(self.seconds))
            own, lines = Levers(buckets), Script(start=self.start, versions=dict(script.versions))
            event = BENIGN[kind](self._stage(kind, own, lines, begins, ends))
            if event is None:
                continue
            both = Levers(buckets)
            both.add(levers)
            both.add(own)
            then = simulate(self.system, self.outside, both) if own else flows
            if own and felt(then, self._usual, 0, self.seconds) is not None:
                continue  # not harmless here
            levers, flows = both, then
            events.append(event)
            script.take(lines)
        return levers, flows, events

    def _fault(self, levers: Levers, script: Script, begins_s: float, ends_s: float, kind: str | None) -> Event:
        for _ in range(TRIES):
            chosen = kind or str(self.rng.choice(sorted(FAULTS)))
            event = FAULTS[chosen](self._stage(chosen, levers, script, begins_s, ends_s))
            if event is not None:
                return event
        raise ValueError(f"this system has no place for the fault {kind or 'of any kind'}")

    def _judged(self, event: Event, flows: Flows, calm: Flows) -> Event:
        """An event with what users felt of it, beginning when there is a difference at all."""
        first = felt(flows, calm, event.begins_s, event.ends_s)
        return replace(event, pages=first is not None, felt_at_s=first)


def _require(what: str, names: Collection[str], known: Mapping[str, Kind]) -> None:
    """Refuse names that are in no catalogue."""
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}; there are: {', '.join(sorted(known))}")
