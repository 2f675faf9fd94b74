"""Simulated systems: the same seed draws the same one, and what its instrumentation says agrees with itself."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chaos.worlds import BENIGN, FAULTS, Recording, World, world
from chaos.worlds.counts import draw_counts
from chaos.worlds.levers import Levers
from chaos.worlds.physics import simulate
from chaos.worlds.world import SECONDS

TABLES = ("red", "latency", "edges", "metrics", "logs", "unanswered", "heartbeats", "resources")
MAY_BE_MISSING = {"server_mean_ms"}


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [world(seed) for seed in (2, 6, 8, 16, 18, 24)]


@pytest.fixture(scope="module")
def recordings(worlds: list[World]) -> list[Recording]:
    return [one.record() for one in worlds]


def _complete(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if name not in MAY_BE_MISSING])


def test_the_same_seed_records_the_same(recordings: list[Recording]) -> None:
    """Nothing but the seed decides."""
    again = world(8).record()
    for name in TABLES:
        # What is missing equals nothing, itself included.
        first, second = (_complete(getattr(one, name)) for one in (again, recordings[2]))
        assert first.equals(second), name
    assert again.events == recordings[2].events


def test_other_seeds_record_something_else(recordings: list[Recording]) -> None:
    """Names, sizes and what happens differ."""
    assert len({one.red.column("service")[0].as_py() for one in recordings if len(one.red)}) > 3
    assert len({one.size for one in recordings}) > 2


def test_numbers_are_numbers(recordings: list[Recording]) -> None:
    """No value is missing where the recording doesn't say that it may be, and buckets are in order."""
    for recording in recordings:
        for name in TABLES:
            table: pa.Table = getattr(recording, name)
            for column in table.column_names:
                values = table.column(column)
                assert not values.null_count, (name, column)
                if pa.types.is_floating(values.type) and column not in MAY_BE_MISSING:
                    assert np.isfinite(values.to_numpy()).all(), (name, column)
            if "bucket" in table.column_names:
                stamps = table.column("bucket").cast(pa.int64()).to_numpy()
                assert (np.diff(stamps) >= 0).all(), name
                assert stamps.size == 0 or recording.start <= stamps[0] <= stamps[-1] < recording.start + SECONDS


def test_a_row_is_there_once(recordings: list[Recording]) -> None:
    """A bucket, service and operation have one row, and so have a bucket and a call between two names."""
    for recording in recordings:
        for table, keys in (
            (recording.red, ("bucket", "service", "operation")),
            (recording.edges, ("bucket", "caller", "callee", "source")),
            (recording.metrics, ("bucket", "service", "metric", "attributes", "kind")),
        ):
            rows = Counter(zip(*(table.column(key).to_pylist() for key in keys), strict=True))
            assert not rows or max(rows.values()) == 1, rows.most_common(2)


def test_no_more_requests_fail_than_come(recordings: list[Recording]) -> None:
    """Errors are a part of calls."""
    for recording in recordings:
        for table in (recording.red, recording.edges):
            assert pc.all(pc.less_equal(table.column("errors"), table.column("calls"))).as_py() in (True, None)


def test_what_callers_send_is_what_callees_answer(worlds: list[World]) -> None:
    """Calls with a reply, and what comes from outside, add up to what an operation answers."""
    checked = 0
    for one in worlds:
        counts, system = one.counts, one.system
        for number in range(len(system.operations)):
            if number in one.outside:
                continue
            sent = sum(counts.replied[at] for at in system.called_by[number])
            assert np.array_equal(sent, counts.answered[number])
            checked += int(np.sum(sent)) > 0
    assert checked > 20


def test_callers_see_their_callees_failures(worlds: list[World]) -> None:
    """What an operation fails is what its callers see fail, but for answers that come too late."""
    for one in worlds:
        counts, system = one.counts, one.system
        for number in range(len(system.operations)):
            callers = system.called_by[number]
            if number in one.outside or not callers or any(system.calls[at].deferred for at in callers):
                continue
            seen = sum(counts.call_failed[at] for at in callers)
            assert (seen >= counts.early[number] + counts.failed[number]).all()


def test_requests_in_progress_follow_littles_law(worlds: list[World]) -> None:
    """What a node holds is its rate times its mean duration."""
    flows = worlds[0].directed.calm
    mean_s = (flows.ok_ms * (1 - flows.failing) + flows.fail_ms * flows.failing) / 1000
    for node, operations in enumerate(flows.system.operations_of):
        numbers = list(operations)
        expected = (flows.rate[numbers] * (1 - flows.lost[numbers]) * mean_s[numbers]).sum(axis=0)
        assert np.allclose(flows.held[node], expected, rtol=0.05, atol=1e-6)


def test_faults_come_after_a_calm_quarter_of_an_hour(recordings: list[Recording]) -> None:
    """Faults begin after 960 s, last 5 minutes, and name somebody whom telemetry knows."""
    for recording in recordings:
        known = set(recording.edges.column("callee").to_pylist()) | set(recording.traits)
        for event in recording.events:
            if event.harmful:
                assert event.begins_s >= 960
                assert event.ends_s - event.begins_s >= 299
                assert event.culprit in known
                assert event.pages == (event.felt_at_s is not None)
                assert event.mechanism != "unknown"
            else:
                assert not event.pages


def test_a_calm_world_has_no_fault() -> None:
    """`faults=0` draws harmless things alone."""
    calm = world(8, faults=0)
    assert calm.directed.events
    assert not any(event.harmful for event in calm.directed.events)
    assert calm.directed.flows is calm.directed.calm


def test_there_are_many_kinds() -> None:
    """The catalogues are as long as promised, and name nothing twice."""
    assert len(FAULTS) >= 20
    assert len(BENIGN) >= 12
    assert not FAULTS.keys() & BENIGN.keys()


@pytest.mark.parametrize(("seconds", "words"), [(2410, "multiple of 30"), (600, "from 1500")])
def test_a_length_that_is_impossible_is_refused(seconds: int, words: str) -> None:
    """The message says what would be possible."""
    with pytest.raises(ValueError, match=words):
        world(2, seconds=seconds)


def test_usual_traffic_overloads_nothing(worlds: list[World]) -> None:
    """Waves and bursts leave room: nobody waits for a thread, and no breaker opens."""
    for one in worlds:
        usual = simulate(one.system, one.directed.outside, Levers(one.directed.flows.buckets))
        assert usual.wait_ms.max() == 0
        assert usual.open.max(initial=0) == 0
        assert usual.busy.max() < 0.9


def test_ten_thousand_times_the_requests_cost_about_the_same(worlds: list[World]) -> None:
    """Nothing loops over requests."""
    flows = worlds[0].directed.calm
    outside = {number: values / values.mean() for number, values in worlds[0].directed.outside.items()}

    def seconds(times: float) -> float:
        began = time.process_time()
        for _ in range(3):
            draw_counts(
                np.random.default_rng(1), flows, {n: values * times for n, values in outside.items()}, frozenset(), 1
            )
        return time.process_time() - began

    seconds(1.0)
    assert seconds(10_000.0) < 6 * seconds(1.0)
