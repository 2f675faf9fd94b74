"""What a service's instrumentation makes of the same system: each habit shows in what is recorded, and only there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chaos.worlds import Recording, World, world
from chaos.worlds.counts import skewed
from chaos.worlds.habits import Habit, Instrumentation
from chaos.worlds.system import BACKING


@pytest.fixture(scope="module")
def failing() -> World:
    """A small system, one service of which fails before it has found a handler."""
    return world(18, kind="errors before routing", faults=1, seconds=1500, harmless=())


def _recorded(drawn: World, sampling: int = 1, **habit: Any) -> Recording:
    """What it would record if each service had the same habits."""
    nodes = drawn.system.nodes
    habits = tuple(None if node.kind in BACKING else Habit(**habit) for node in nodes)
    instrumentation = Instrumentation(system=drawn.system, habits=habits, sampling=sampling)
    return replace(drawn, instrumentation=instrumentation).record()


def _red(recording: Recording) -> pd.DataFrame:
    return recording.red.to_pandas()


def test_failures_have_the_name_of_successes_or_a_shorter_one(failing: World) -> None:
    """The same failures, as another operation that only failures have."""
    same, other = _red(_recorded(failing)), _red(_recorded(failing, errors="early shorter"))
    new = set(other.operation) - set(same.operation)
    assert new
    assert new <= {"GET", "POST", "PUT", "DELETE", "PATCH"} | {name.rsplit("/", 1)[0] for name in same.operation}
    only = other[other.operation.isin(new)]
    assert only.errors.sum() == only.calls.sum()
    assert same.errors.sum() == pytest.approx(other.errors.sum(), rel=0.1)


def test_failures_of_unknown_methods_share_a_name(failing: World) -> None:
    """No method of a remote procedure call is known before one is found."""
    system = failing.system
    habits = tuple(Habit(errors="unknown") for _ in system.nodes)
    known = Instrumentation(system=system, habits=habits)
    remote = [number for number, one in enumerate(system.operations) if not one.verb]
    assert remote
    for number in remote:
        if system.nodes[system.operations[number].node].kind != "consumer":
            assert known.error_names(number) == ("grpc.unknown/unknown", known.operation_name(number))


@pytest.mark.parametrize(
    ("naming", "example"), [("verb", "GET"), ("http verb", "HTTP GET"), ("path", "/"), ("function", "Controller.")]
)
def test_span_names_follow_the_habit(failing: World, naming: str, example: str) -> None:
    """With a route, without one, or by the function that handles it."""
    assert any(
        name.startswith(example) or example in name for name in _red(_recorded(failing, naming=naming)).operation
    )


def test_failures_in_attributes_are_not_counted(failing: World) -> None:
    """Neither is their name another one."""
    assert _red(_recorded(failing, attribute_only=True)).errors.sum() == 0


def test_client_faults_count_where_they_are_errors(failing: World) -> None:
    """A strict service has more errors of the same requests."""
    loose, strict = _red(_recorded(failing)), _red(_recorded(failing, strict=True))
    assert strict.errors.sum() > loose.errors.sum()
    assert strict.calls.sum() == pytest.approx(loose.calls.sum(), rel=0.01)


def test_without_client_spans_nobody_calls_anybody(failing: World) -> None:
    """Servers alone know no edges."""
    recording = _recorded(failing, client_spans=False)
    assert len(recording.edges) == 0
    assert len(recording.unanswered) == 0
    assert len(recording.red) > 0


@pytest.mark.parametrize(
    ("peer", "pattern"),
    [("server.address", r"\w+ \(.+:\d+\)$"), ("url", r"\w+:\w+$|\w+ \(port \d+\)$"), ("peer.service", r"^[^()]+$")],
)
def test_a_database_has_the_name_that_its_callers_give(failing: World, peer: str, pattern: str) -> None:
    """Nobody else knows it."""
    edges = _recorded(failing, peer=peer).edges.to_pandas()
    databases = {node.product for node in failing.system.nodes if node.kind == "database"}
    assert databases
    names = edges[edges.source == "attribute"].callee
    assert names.str.contains(pattern).any()
    assert edges[edges.source == "attribute"].server_mean_ms.isna().all()


def test_sampling_keeps_a_part_of_spans_and_all_metrics(failing: World) -> None:
    """One trace in ten: a tenth of the requests in spans, but not in what metrics count."""
    every, tenth = _recorded(failing), _recorded(failing, sampling=10)
    assert _red(tenth).calls.sum() == pytest.approx(_red(every).calls.sum() / 10, rel=0.2)

    def counted(recording: Recording) -> float:
        metrics = recording.metrics.to_pandas()
        return float(metrics[metrics.metric == "http.server.requests"].value.sum())

    assert counted(tenth) == pytest.approx(counted(every), rel=0.2)


def test_old_and_new_conventions_have_other_metrics(failing: World) -> None:
    """Durations are in milliseconds by the old ones, in seconds by the new ones."""
    old, new = (_recorded(failing, new_names=names).metrics.to_pandas() for names in (False, True))
    before = old[old.metric == "http.server.duration"].value
    after = new[new.metric == "http.server.request.duration"].value
    assert len(before)
    assert len(after)
    assert before.median() == pytest.approx(1000 * after.median(), rel=0.1)
    assert "http.server.duration" not in set(new.metric)


def test_metrics_come_as_often_as_they_are_exported(failing: World) -> None:
    """A service that exports once a minute has a twelfth of the points."""
    often, seldom = (len(_recorded(failing, every_s=every).heartbeats) for every in (5, 60))
    assert often == pytest.approx(12 * seldom, rel=0.1)


def test_what_is_not_exported_is_not_recorded(failing: World) -> None:
    """Traces alone have no metrics and no heartbeats, metrics alone no spans."""
    traces, metrics = _recorded(failing, metrics=False), _recorded(failing, traced=False)
    assert len(traces.metrics) == len(traces.heartbeats) == 0 < len(traces.red)
    assert len(metrics.red) == len(metrics.edges) == len(metrics.latency) == 0 < len(metrics.metrics)
    assert len(_recorded(failing, logs=0.0).logs) == 0


def test_a_wrong_clock_moves_what_a_service_says(failing: World) -> None:
    """Two seconds ahead: two fifths of each bucket's requests are said to be of the next one."""
    counts, sums = skewed(np.full(100, 1000), np.full(100, 5000.0), 2.0, np.random.default_rng(1))
    assert counts[0] == pytest.approx(600, abs=60)
    assert counts[1:].mean() == pytest.approx(1000, abs=10)
    assert np.allclose(sums, 5 * counts)
    right, ahead = _recorded(failing), _recorded(failing, clock_s=2.0)
    assert set(ahead.clocks_s.values()) == {2.0}
    assert not _red(right).calls.equals(_red(ahead).calls)


def test_repeated_batches_count_twice(failing: World) -> None:
    """Some buckets have twice the requests."""
    once, twice = _red(_recorded(failing)), _red(_recorded(failing, repeats=1.0))
    assert twice.calls.sum() == 2 * once.calls.sum()


def test_instances_have_names_of_their_own(failing: World) -> None:
    """Pods have a name with a random part; processes on hosts go by their port."""
    pods, processes = (_recorded(failing, pods=pods).resources.to_pandas() for pods in (True, False))
    assert "k8s.pod.name" in set(pods.attribute)
    assert "k8s.pod.name" not in set(processes.attribute)
    assert processes.instance.str.contains(r":\d+$").all()


def test_messages_that_are_only_linked_have_no_edge() -> None:
    """The producer is seen to call the broker instead of the consumer."""
    for seed in range(2, 30, 2):
        drawn = world(seed, faults=0, seconds=1500, harmless=()) if seed not in (4, 10, 14, 28) else None
        if drawn is None or not any(node.kind == "queue" for node in drawn.system.nodes):
            continue
        consumers = {node.name for node in drawn.system.nodes if node.kind == "consumer"}
        child, linked = (_recorded(drawn, linked=linked).edges.to_pandas() for linked in (False, True))
        assert consumers & set(child.callee)
        assert not consumers & set(linked.callee)
        assert linked.callee.str.contains("kafka|rabbitmq|nats").any()
        return
    pytest.fail("no system has a queue")


def test_a_renamed_operation_goes_on_under_its_new_name() -> None:
    """The old name ends where the new one begins, at the same rate."""
    for seed in (18, 24, 8, 16):
        drawn = world(seed, faults=0, seconds=1500, harmless=("renamed operation",))
        if drawn.directed.events:
            break
    red = _red(drawn.record())
    new = red[red.operation.str.endswith(".v2")]
    old = red[red.operation == new.operation.iloc[0].removesuffix(".v2")]
    old = old[old.service == new.service.iloc[0]]
    if not len(old):
        pytest.fail("the operation had no past")
    assert new.bucket.min() >= old[old.errors < old.calls].bucket.max() or len(set(old.operation)) == 1
    assert new.calls.mean() == pytest.approx(old.calls.mean(), rel=0.5)
