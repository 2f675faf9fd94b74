"""A simulated system that a seed draws, with everything that happens in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts, draw_counts
from chaos.worlds.direction import Directed, Director
from chaos.worlds.habits import Instrumentation, draw_instrumentation
from chaos.worlds.journeys import draw_journeys
from chaos.worlds.measured import Metrics
from chaos.worlds.observed import Spans
from chaos.worlds.observed_calls import ClientSpans
from chaos.worlds.physics import STEP_S
from chaos.worlds.recording import SHAPE_STEP_S, Recording
from chaos.worlds.system import F64, System
from chaos.worlds.topology import draw_system
from chaos.worlds.traces import Tracing
from chaos.worlds.traffic import draw_traffic, regular_operations
from chaos.worlds.written import Writings

SECONDS: Final = 2400  # that a world lasts
START: Final = 1_800_000_000  # of the first world's week; divides by SHAPE_STEP_S
TWO_FAULTS: Final = 0.2  # how often there are two
SHORTEST_S: Final = 1500  # a calm quarter of an hour, a fault and its end


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A system, its instrumentation, and what happens in it."""

    seed: int
    start: int
    seconds: int
    system: System
    instrumentation: Instrumentation
    directed: Directed

    @cached_property
    def outside(self) -> dict[int, F64]:
        """Requests a second that really come from outside, by operation, `(T,)`."""
        levers = self.directed.levers
        return {
            number: np.asarray(values * levers.get("traffic", ("op", number)))
            for number, values in self.directed.outside.items()
        }

    @cached_property
    def counts(self) -> Counts:
        """What exactly happened in each bucket."""
        return draw_counts(
            self._rng(3),
            self.directed.flows,
            self.outside,
            regular_operations(self.system),
            self.instrumentation.sampling,
        )

    def record(self) -> Recording:
        """What the instrumentation recorded."""
        flows, known = self.directed.flows, self.instrumentation
        red, latency = Spans(self._rng(4), self.start, flows, self.counts, known).red()
        clocks_s = {known.name(n): h.clock_s for n, h in enumerate(known.habits) if h and h.clock_s}
        edges, unanswered = ClientSpans(self._rng(5), self.start, flows, self.counts, known, clocks_s).tables()
        metrics, heartbeats = Metrics(
            self._rng(6), self.start, flows, self.counts, self.directed.levers, known
        ).tables()
        writings = Writings(self._rng(7), self.start, flows, self.counts, self.directed.script, known)
        return Recording(
            start=self.start,
            seconds=self.seconds,
            red=red,
            latency=latency,
            edges=edges,
            unanswered=unanswered,
            metrics=metrics,
            logs=writings.logs(),
            heartbeats=heartbeats,
            resources=writings.resources(),
            changes=tuple(self.directed.script.changes),
            delays_s={known.name(n): h.delay_s for n, h in enumerate(known.habits) if h and h.delay_s},
            clocks_s=clocks_s,
            events=self.directed.events,
            entries=self.entries(),
            traits={
                known.name(number): habit.traits(self.system.nodes[number].language, known.sampling)
                for number, habit in enumerate(known.habits)
                if habit
            },
            size=len(self.system.nodes),
            entry_rate=float(sum(self.outside[number].mean() for number in self.system.entries)),
        )

    def traces(self, begin_s: float, end_s: float, limit: int = 1000) -> pa.Table:
        """Spans of requests that come from outside between two seconds, whole and as each service reports them.

        Args:
            begin_s, end_s: seconds from the start.
            limit: about so many requests from outside at most; where more come, a part of them is drawn.

        Returns:
            One row a span, by start: trace, span_id, parent_span_id (hex; empty at a root), service, span_name, kind
            (Server, Client, Producer, Consumer, Internal), start_ns, duration_ns (int64), status (Unset, Error) and
            attributes (JSON text). The same span of time gives the same spans. They are drawn from the same
            expectations as `record`, not from its counts.
        """
        rng = self._rng(1000 + int(begin_s))
        known = self.instrumentation
        requests = draw_journeys(rng, self.directed.flows, self.outside, begin_s, end_s, limit, known.sampling)
        return Tracing(rng, self.start, requests, known).table()

    def entries(self) -> tuple[str, ...]:
        """Services that users touch, as far as they report: behind a gateway that doesn't, those that it calls."""
        system, known = self.system, self.instrumentation
        nodes = {system.operations[number].node for number in system.entries}
        while any(known.habits[node] is None for node in nodes):
            silent = {node for node in nodes if known.habits[node] is None}
            behind = {callee for caller, callee in system.paths if caller in silent}
            nodes = (nodes - silent) | behind
        return tuple(sorted(known.name(node) for node in nodes))

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])


def world(
    seed: int,
    *,
    faults: int | None = None,
    seconds: int = SECONDS,
    kind: str | None = None,
    harmless: Collection[str] | None = None,
) -> World:
    """Draw a world.

    Args:
        seed: the same seed draws the same world.
        faults: how many faults there are: none makes it calm; drawn (one, now and then two) by default.
        seconds: how long it lasts, in whole half minutes, from SHORTEST_S.
        kind: what the faults are; drawn by default.
        harmless: which harmless changes there are, as far as the system has a place for them; drawn by default.

    Raises:
        ValueError: `seconds` is too short or not in whole half minutes, more faults than fit, or a kind that is unknown
            or for which the drawn system has no place.
    """
    if seconds % SHAPE_STEP_S or seconds < SHORTEST_S:
        raise ValueError(f"seconds is {seconds}: it must be a multiple of {SHAPE_STEP_S}, from {SHORTEST_S}")
    system = draw_system(np.random.default_rng([seed, 0]))
    instrumentation = draw_instrumentation(np.random.default_rng([seed, 1]), system)
    rng = np.random.default_rng([seed, 2])
    start = START + SHAPE_STEP_S * int(rng.integers(7 * 86_400 // SHAPE_STEP_S))
    outside = draw_traffic(rng, system, int(seconds / STEP_S))
    number = (2 if rng.random() < TWO_FAULTS and seconds >= SECONDS else 1) if faults is None else faults
    director = Director(rng, system, instrumentation, outside, start, seconds)
    directed = director.direct(number, kind, harmless)
    return World(
        seed=seed,
        start=start,
        seconds=seconds,
        system=system,
        instrumentation=replace(instrumentation, renamed=directed.script.renamed),
        directed=directed,
    )
