"""Each kind of fault is felt where it acts, and by whom it should be."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from chaos.worlds import BENIGN, FAULTS, Event, World, world
from chaos.worlds.harm import failing
from chaos.worlds.physics import STEP_S
from watchkeeper.vocabulary import Mechanism

SEEDS = (8, 2, 24, 22, 18, 16, 30)  # small systems, not each of which has a place for each fault
DEFERRED = {"poison message", "stalled consumer"}  # users do not wait for messages


@cache
def _broken(kind: str, seed: int) -> tuple[World, Event] | None:
    """A system with one fault of a kind and nothing else, if it has a place for it."""
    try:
        broken = world(seed, kind=kind, faults=1, seconds=1800, harmless=())
    except ValueError:
        return None
    return broken, broken.directed.events[0]


def _all(kind: str) -> list[tuple[World, Event]]:
    found = [one for seed in SEEDS if (one := _broken(kind, seed)) is not None]
    assert found, f"none of the systems has a place for {kind}"
    return found


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_changes_its_system(kind: str) -> None:
    """Beside the calm system there is more failing, waiting, work or traffic while it lasts, and none before."""
    broken, event = _all(kind)[0]
    flows, calm = broken.directed.flows, broken.directed.calm
    before, within = int(event.begins_s / STEP_S), slice(int(event.begins_s / STEP_S) + 1, int(event.ends_s / STEP_S))
    failed = failing(flows) - failing(calm)
    slower = flows.ok_ms / np.maximum(calm.ok_ms, 1e-9) - 1
    waiting = flows.backlog - calm.backlog
    more = flows.rate / np.maximum(calm.rate, 1e-9) - 1
    assert np.allclose(failed[:, :before], 0, atol=1e-3)
    assert np.allclose(slower[:, :before], 0, atol=1e-2)
    assert max(float(one[:, within].max()) for one in (failed, slower, waiting, more)) > 0.08


@pytest.mark.parametrize("kind", sorted(FAULTS.keys() - DEFERRED))
def test_users_feel_each_kind_of_fault_somewhere(kind: str) -> None:
    """Of several systems, users of one at least are hurt, and only while or just after the fault is there."""
    felt = [(event, event.felt_at_s) for _, event in _all(kind) if event.felt_at_s is not None]
    assert felt
    assert all(event.pages and event.begins_s <= at <= event.ends_s + 60 for event, at in felt)


@pytest.mark.parametrize(
    ("kind", "mechanism"),
    [
        ("crash", "killed"),
        ("hang", "hung"),
        ("lock", "database"),
        ("partition", "network"),
        ("silent bad deploy", "deploy"),
        ("stalled caller", "cpu"),
        ("memory leak", "memory"),
    ],
)
def test_a_fault_names_its_mechanism(kind: str, mechanism: Mechanism) -> None:
    """As a diagnosis would."""
    assert all(event.mechanism == mechanism for _, event in _all(kind))


def test_an_unknown_kind_is_refused() -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match="packet loss"):
        world(2, kind="sunspots")


def test_a_crash_is_silence_at_the_callee_and_refusal_at_its_callers() -> None:
    """What is down serves nothing; its callers' calls are refused at once."""
    for broken, event in _all("crash"):
        recording = broken.record()
        called = set(recording.unanswered.column("callee").to_pylist())
        if "All of its" not in event.detail or event.culprit not in called:
            continue  # some instances only, or a consumer, or callers without client spans
        begin = recording.start + event.begins_s + STEP_S
        end = recording.start + event.ends_s - STEP_S
        red = recording.red.to_pandas()
        seconds = red.bucket.astype("datetime64[s, UTC]").astype(np.int64)
        within = (seconds >= begin) & (seconds < end)
        assert not (within & (red.service == event.culprit)).any()
        lost = recording.unanswered.to_pandas()
        lost = lost[lost.callee == event.culprit]
        assert lost.refused.sum() == lost.calls.sum() > 0
        return
    pytest.fail("no system had a crash that callers saw")


def test_a_leak_reaches_its_limit() -> None:
    """Memory rises in the metrics until the limit's time, and the process is down then."""
    for broken, event in _all("memory leak"):
        recording = broken.record()
        metrics = recording.metrics.to_pandas()
        own = metrics[(metrics.service == event.culprit) & (metrics.metric == "process.memory.usage")]
        if event.limit_at_s is None or len(own) < 30:
            continue
        seconds = own.bucket.astype("datetime64[s, UTC]").astype(np.int64) - recording.start
        usual = own.value[seconds < event.begins_s].mean()
        rising = own.value[(seconds > event.limit_at_s - 45) & (seconds < event.limit_at_s)]
        assert rising.mean() > 1.6 * usual
        return
    pytest.fail("no system measured its leak")


def test_a_stalled_caller_makes_all_its_callees_look_slow() -> None:
    """It waits longer for each callee than the callee takes, though callees that get no more calls take no longer."""
    checked = 0
    for broken, event in _all("stalled caller"):
        system, flows, calm = broken.system, broken.directed.flows, broken.directed.calm
        node = next(number for number, one in enumerate(system.nodes) if one.name == event.culprit)
        middle = int((event.begins_s + event.ends_s) / 2 / STEP_S)
        for (caller, _), numbers in system.paths.items():
            for at in numbers if caller == node else ():
                callee = system.calls[at].callee
                if flows.ok_ms[callee, middle] < 1.1 * calm.ok_ms[callee, middle]:
                    gaps = [(one.call_ok_ms[at] - one.ok_ms[callee])[middle] for one in (flows, calm)]
                    assert gaps[0] > gaps[1] + 5
                    checked += 1
    assert checked > 5


@pytest.mark.parametrize("kind", sorted(BENIGN))
def test_a_harmless_change_happens_and_nobody_feels_it(kind: str) -> None:
    """Each kind has a place in one of a few systems."""
    for seed in range(0, 40, 2):
        if seed in (4, 10, 14, 28):
            continue  # large ones
        events = world(seed, faults=0, seconds=1500, harmless=(kind,)).directed.events
        if events:
            assert [event.kind for event in events] == [kind]
            assert not events[0].pages
            assert not events[0].harmful
            return
    pytest.fail(f"no system has a place for {kind}")
