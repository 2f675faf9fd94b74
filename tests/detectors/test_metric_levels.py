"""Metric series of services: told when they leave their course, once, and quiet otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seeing import seen

from detectors.detector import Setup
from detectors.history import History
from detectors.levels.metrics import MetricLevels
from watchkeeper.vocabulary import Finding, utc

START = 1_800_000_000
STEP = 10
Floats = npt.NDArray[np.float64]
Wave = Callable[[Floats, np.random.Generator], Floats]


def play(series: dict[tuple[str, str], Floats], every: int = 1) -> list[tuple[int, Finding]]:
    """Feed (service, metric) → values, one bucket after the other; what was found, with the bucket's number."""
    history = History(
        "test-metrics",
        keys=("service", "metric", "attributes"),
        values={"value": float("nan")},
        buckets=180,
        step_s=STEP,
    )
    levels = MetricLevels(Setup())
    found = []
    count = len(next(iter(series.values())))
    for bucket in range(count):
        at = START + bucket * STEP
        rows = [(name, values[bucket]) for name, values in series.items() if np.isfinite(values[bucket])]
        table = pa.table(
            {
                "bucket": pa.array([at] * len(rows), pa.timestamp("s", "UTC")),
                "service": pa.array([name[0] for name, _ in rows], pa.string()),
                "metric": pa.array([name[1] for name, _ in rows], pa.string()),
                "attributes": pa.array(["{}"] * len(rows), pa.string()),
                "value": pa.array([value for _, value in rows], pa.float64()),
            }
        )
        history.advance(utc(float(at)))
        history.place(table)
        if bucket % every == 0:
            found += [(bucket, finding) for finding in levels.judge(seen(at + STEP, metrics=history))]
    return found


def noise(level: float, count: int = 120, seed: int = 1) -> Floats:
    return level * np.exp(0.05 * np.random.default_rng(seed).normal(size=count))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_quiet_on_noise_waves_and_constants(seed: int) -> None:
    """Noise, a slow wave with noise, counts, a constant and a series that reports every third bucket."""
    dice = np.random.default_rng(seed)
    steps = np.arange(360)
    gaps = noise(5.0, 360, seed)
    gaps[steps % 3 != 0] = np.nan
    series = {
        ("cart", "memory"): noise(2e8, 360, seed),
        ("cart", "cpu"): 0.3 + 0.1 * np.sin(steps / 60) + 0.01 * dice.normal(size=360),
        ("cart", "threads"): dice.poisson(9, 360).astype(float),
        ("cart", "limit"): np.full(360, 4.0),
        ("cart", "rare"): gaps,
    }
    assert play(series) == []


def test_a_jump_is_told_once_and_becomes_the_new_level() -> None:
    """Within forty seconds, with the level before and the onset; some minutes later it is normal."""
    values = noise(0.2)
    values[60:] *= 4
    found = play({("cart", "cpu"): values})
    buckets = [bucket for bucket, _ in found]
    first = found[0][1]
    assert (first.key, first.severity) == ("metrics:cart", "detail")
    assert 60 <= buckets[0] <= 64
    assert first.expected == pytest.approx(0.2, rel=0.15)
    assert abs(first.onset.timestamp() - (START + 60 * STEP)) <= 2 * STEP
    assert buckets == list(range(buckets[0], buckets[-1] + 1))
    assert buckets[-1] < 100


def test_series_of_one_service_are_one_finding() -> None:
    """CPU and threads that rise together are told together; another service has a finding of its own."""
    cpu, threads, other = noise(0.2), noise(12.0, seed=2), noise(7.0, seed=3)
    for values in (cpu, threads, other):
        values[60:] *= 5
    found = play({("cart", "cpu"): cpu, ("cart", "threads"): threads, ("orders", "queue"): other})
    last = {finding.key: finding.summary for _, finding in found}
    assert set(last) == {"metrics:cart", "metrics:orders"}
    assert all(word in last["metrics:cart"] for word in ("cpu", "also", "threads"))


@pytest.mark.parametrize(
    ("metric", "before", "after", "severity"),
    [
        ("jobs.queue.depth", 10.0, 300.0, "ticket"),
        ("orders.failed", 0.2, 4.0, "ticket"),
        ("runtime.event_loop.delay_seconds", 0.01, 0.4, "ticket"),
        ("process.cpu.utilization", 0.3, 0.95, "ticket"),
        ("runtime.event_loop.delay_seconds", 0.0002, 0.0009, "detail"),
        ("process.cpu.utilization", 0.05, 0.3, "detail"),
        ("vm.heap.space.available_size", 30_000.0, 83_000.0, "detail"),
        ("vm.gc.pause_seconds", 0.02, 0.4, "detail"),
        ("vm.threads.blocked", 2.0, 30.0, "detail"),
        ("jobs.queue.depth", 1.0, 4.0, "detail"),
    ],
)
def test_a_metric_counts_by_what_it_has_to_do_with_users(
    metric: str, before: float, after: float, severity: str
) -> None:
    """By the words of its name and by how much it moved, in its own unit."""
    values = noise(before)
    values[60:] *= after / before
    assert {finding.severity for _, finding in play({("cart", metric): values})} == {severity}


def test_what_concerns_users_speaks_for_a_service() -> None:
    """However clear the details are; they are named after it, in words that a person reads."""
    details = [f"vm.heap.space{number}.available_size" for number in range(6)]
    series = {("cart", name): noise(3e4, seed=number) for number, name in enumerate(details)}
    queue = noise(40.0, seed=9)
    for values in (*series.values(), queue):
        values[60:] *= 5
    found = play({**series, ("cart", "jobs.queue.depth"): queue})
    (last,) = [finding for bucket, finding in found if bucket == 66]
    assert last.severity == "ticket"
    assert last.summary.startswith("cart: jobs queue depth is ")
    assert last.summary.endswith(" and 3 more")


def test_a_small_move_of_a_steady_series_is_not_worth_a_line() -> None:
    """A tenth more, of a series that never moved."""
    values = np.full(120, 100.0)
    values[60:] = 110.0
    assert play({("cart", "limit"): values}) == []


def test_a_changed_unit_is_a_drift_ticket() -> None:
    """Seconds that become milliseconds are no slowdown: a ticket that asks, and no metric finding in the end."""
    values = noise(0.25, 160)
    values[60:] *= 1000
    found = play({("cart", "latency"): values})
    unit = [finding for _, finding in found if finding.kind == "drift"]
    assert unit
    assert (unit[0].severity, unit[0].key) == ("ticket", "metrics:unit:cart:latency")
    assert "unit" in unit[0].summary
    assert {finding.kind for bucket, finding in found if bucket >= 85} <= {"drift"}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.0, -1.0, 1e308, -1e308, float("nan"), float("inf"), 3.5]), min_size=30, max_size=60))
def test_odd_values_never_break_it(values: list[float]) -> None:
    """Whatever a series holds, it is judged or left out, and severities stay tickets."""
    assert {finding.severity for _, finding in play({("cart", "odd"): np.array(values)})} <= {"ticket"}


def test_it_counts_the_series_that_have_no_past_of_their_own_yet() -> None:
    """Each service's series, and those of them whose ranks still lean on the prior."""
    history = History(
        "test-stages", keys=("service", "metric", "attributes"), values={"value": float("nan")}, buckets=60, step_s=STEP
    )
    levels = MetricLevels(Setup())
    waits = []
    for bucket in range(110):
        at = START + bucket * STEP
        history.advance(utc(float(at)))
        names = ["cpu", "heap"] if bucket >= 50 else ["cpu"]
        rows = {"service": ["cart"] * len(names), "metric": names, "attributes": ["{}"] * len(names)}
        table = {"bucket": pa.array([at] * len(names), pa.timestamp("s", "UTC")), **rows, "value": [1.0] * len(names)}
        history.place(pa.table(table))
        levels.judge(seen(at + STEP, metrics=history))
        waits.append(levels.waits().get("cart", ""))
    assert [waits[bucket].split(" metric")[0] for bucket in (3, 60, 109)] == ["1 of 1", "2 of 2", "1 of 2"]
