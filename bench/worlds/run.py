"""`watchkeeper bench worlds`: watch and score many simulated systems, in several processes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from bench.worlds import report
from bench.worlds.rules import alerted
from bench.worlds.scoring import World, score, together
from bench.worlds.watching import watch
from chaos.worlds import world
from chaos.worlds.recording import SHAPE_STEP_S
from chaos.worlds.world import SHORTEST_S
from chaos.worlds.world import World as SimulatedWorld

WATCHKEEPER = "watchkeeper"
RULES = "Prometheus-style rules"


def seeds_of(text: str, *, even: bool, odd: bool) -> list[int]:
    """The seeds of `2-60`, `7` or `2-8,12`; of them the even or the odd ones, where only those are wanted.

    Raises:
        ValueError: it is no such list, or nothing is left of it.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part.strip()!r} is no seed and no range of seeds; write `2-60`, or `2,7,11`")
        seeds |= set(range(int(first), int(last or first) + 1))
    if even and odd:
        raise ValueError("choose --even (for development) or --odd (for reporting), or neither for both")
    chosen = sorted(seed for seed in seeds if not (even and seed % 2) and not (odd and seed % 2 == 0))
    if not chosen:
        raise ValueError(f"no seed is left of {text!r}")
    return chosen


def run(*, seeds: Sequence[int], calm_hours: float, jobs: int | None, as_json: bool, misses: bool) -> None:
    """Print the figures of these seeds, the same whatever the number of processes."""
    own, rules = zip(*_scored(seeds, calm_hours, jobs), strict=True)
    ways: dict[str, Sequence[World]] = {WATCHKEEPER: own, RULES: rules}
    if as_json:
        print(json.dumps(report.as_json(ways), indent=1))
        return
    print("\n".join(report.tables(ways)))
    if misses:
        print("\n" + "\n".join(report.misses(own)))


def _scored(seeds: Sequence[int], calm_hours: float, jobs: int | None) -> Iterator[tuple[World, World]]:
    """The score of the product and of the rules, by world, in the order of the seeds."""
    workers = max(1, min(jobs or os.cpu_count() or 1, len(seeds)))
    one = partial(score_one, calm_hours=calm_hours)
    if workers == 1:
        yield from _reported(map(one, seeds), len(seeds))
        return
    # Spawned: a fork would copy threads of libraries that are loaded here.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from _reported(pool.map(one, seeds), len(seeds))


def _reported(results: Iterator[tuple[World, World]], count: int) -> Iterator[tuple[World, World]]:
    began = time.monotonic()
    for number, (own, rules) in enumerate(results, 1):
        passed = sum(fault.passed for fault in own.faults)
        text = f"seed {own.seed}: {passed} of {len(own.faults)} faults, {len(own.false_pages)} false pages"
        print(f"{text} ({number} of {count}, {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
        yield own, rules


def score_one(seed: int, calm_hours: float = 0.0) -> tuple[World, World]:
    """One world, watched by the product and by ordinary rules; then so many hours of it without any fault."""
    worlds = [world(seed)]
    if calm_hours:
        seconds = max(int(calm_hours * 3600) // SHAPE_STEP_S * SHAPE_STEP_S, SHORTEST_S)
        worlds.append(world(seed, faults=0, seconds=seconds))
    own, rules = [], []
    for drawn in worlds:
        recording = drawn.record()
        calls = true_calls(drawn)
        own.append(score(seed, recording, watch(recording, drawn.traces), calls))
        rules.append(score(seed, recording, alerted(recording), calls))
    return together(own), together(rules)


def true_calls(drawn: SimulatedWorld) -> frozenset[tuple[str, str]]:
    """Who really calls whom, by every name that telemetry has for them; whoever reports nothing is there, too."""

    def names(node: int) -> tuple[str, ...]:
        return (drawn.system.nodes[node].name, *drawn.instrumentation.callee_names(node))

    paths = drawn.system.paths
    return frozenset((one, other) for caller, callee in paths for one in names(caller) for other in names(callee))
