"""Spans of single requests: whole traces that agree with what the same world records in sums."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from chaos.worlds import World, world


@pytest.fixture(scope="module")
def calm() -> World:
    return world(24, faults=0)


@pytest.fixture(scope="module")
def spans(calm: World) -> pd.DataFrame:
    return calm.traces(300, 900, limit=4000).to_pandas()


def test_the_same_time_gives_the_same_spans(calm: World) -> None:
    """Nothing but the seed and the time decides."""
    assert calm.traces(300, 330).equals(calm.traces(300, 330))


def test_each_span_has_a_parent_in_its_trace(spans: pd.DataFrame) -> None:
    """No parent is missing, none is in another trace, and no span is there twice."""
    assert spans.span_id.is_unique
    trace_of = dict(zip(spans.span_id, spans.trace, strict=True))
    children = spans[spans.parent_span_id != ""]
    assert len(children) > 1000
    assert all(trace_of[parent] == trace for parent, trace in zip(children.parent_span_id, children.trace, strict=True))


def test_callees_begin_after_their_callers(calm: World, spans: pd.DataFrame) -> None:
    """On one clock, a span begins no earlier than its parent."""
    skewed = {
        calm.instrumentation.name(n) for n, habit in enumerate(calm.instrumentation.habits) if habit and habit.clock_s
    }
    begun = dict(zip(spans.span_id, spans.start_ns, strict=True))
    right = spans[(spans.parent_span_id != "") & ~spans.service.isin(skewed)]
    parents = right[right.parent_span_id.map(dict(zip(spans.span_id, ~spans.service.isin(skewed), strict=True)))]
    assert (parents.start_ns >= parents.parent_span_id.map(begun) - 1000).all()


def test_spans_agree_with_the_recording(calm: World, spans: pd.DataFrame) -> None:
    """Operations have the same names, durations and shares of failures."""
    red = calm.record().red.to_pandas()
    assert set(spans[spans.kind.isin(["Server", "Consumer"])].service) <= set(red.service)
    served = spans[spans.kind.isin(["Server", "Consumer"])]
    busy = [key for key, number in Counter(zip(served.service, served.span_name, strict=True)).items() if number > 300]
    assert busy
    ratios = []
    for service, operation in busy:
        own = served[(served.service == service) & (served.span_name == operation)].duration_ns.mean() / 1e6
        rows = red[(red.service == service) & (red.operation == operation)]
        ratios.append(own / np.average(rows.mean_ms, weights=rows.calls))
    assert 0.8 < np.median(ratios) < 1.25


def test_requests_without_a_parent_are_as_many_as_recorded(calm: World, spans: pd.DataFrame) -> None:
    """Of each service, as a share of its requests."""
    red = calm.record().red.to_pandas().groupby("service")[["calls", "direct"]].sum()
    served = spans[spans.kind.isin(["Server", "Consumer"])]
    direct = served[(served.parent_span_id == "") & (served.kind == "Server")].groupby("service").size()
    total = served.groupby("service").size()
    often = total[total > 300].index
    assert 0 < (direct.reindex(often, fill_value=0) > 0).sum() < len(often)
    for service in often:
        recorded = red.direct[service] / red.calls[service]
        assert abs(recorded - direct.get(service, 0) / total[service]) < 0.1


def test_failures_are_errors_of_the_culprit() -> None:
    """A failing service has spans in error, and no larger share of them before its fault."""
    broken = world(24, kind="errors", faults=1, harmless=())
    event = broken.directed.events[0]
    spans = broken.traces(event.begins_s + 120, event.begins_s + 200).to_pandas()
    before = broken.traces(event.begins_s - 200, event.begins_s - 20).to_pandas()
    now, then = ((one[one.service == event.culprit].status == "Error").mean() for one in (spans, before))
    assert now > then + 0.05


def test_attributes_are_those_of_the_conventions(spans: pd.DataFrame) -> None:
    """Each client span names its callee, and each server span its request."""
    clients = [json.loads(text) for text in spans[spans.kind == "Client"].attributes.unique()]
    peers = ("peer.service", "server.address", "net.peer.name", "url.full", "http.url", "server.port", "net.peer.port")
    assert all(any(key in attributes for key in peers) for attributes in clients)
    servers = [json.loads(text) for text in spans[spans.kind == "Server"].attributes.unique()]
    assert all({"http.method", "http.request.method", "rpc.method"} & attributes.keys() for attributes in servers)
