"""Far more requests than usual: the cause is where they come in, not where the system is tightest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_call_sides import ONSET, REDIS, first_of, incident

from rca.case import Case
from rca.surges import overloads, surges


def surged(case: Case, times: float) -> Case:
    """The same incident with so many times the requests, everywhere."""
    flows, links = case.flows, case.links
    assert flows is not None
    assert links is not None
    served, called = (np.where(table.time >= ONSET, times, 1.0) for table in (flows, links))
    return replace(
        case,
        flows=replace(flows, calls=flows.calls * served, errors=flows.errors * served, busy=flows.busy * served),
        links=replace(
            links,
            calls=links.calls * called,
            errors=links.errors * called,
            waited=links.waited * called,
            served=links.served * called,
        ),
    )


SLOW = {("search", REDIS): 0.5, ("basket", REDIS): 0.5}


def test_a_system_that_gets_ten_times_its_requests_is_overloaded_from_its_entry() -> None:
    """The cache is where it is tightest, and all that waits for it is slow."""
    case = surged(incident(slow=SLOW, failing=SLOW), 10.0)
    assert set(surges(case)) == {"gate"}
    assert overloads(case)[REDIS].origin == "gate"
    found = first_of(case)
    assert (found.candidate, found.mechanism) == ("gate", "traffic")


@pytest.mark.parametrize("times", [1.0, 2.5])
def test_a_busy_hour_is_no_cause(times: float) -> None:
    """Capacity for it is expected: the slow cache is the cause."""
    assert first_of(surged(incident(slow=SLOW, failing=SLOW), times)).candidate == REDIS


def test_a_caller_that_calls_far_more_often_is_no_surge_of_its_callee() -> None:
    """Its callee gets ten times the requests, all of which a known caller sends."""
    case = incident()
    grown = surged(case, 10.0)
    assert case.flows is not None
    assert case.links is not None
    assert grown.flows is not None
    assert grown.links is not None
    stock = np.where(case.flows.node == "stock", grown.flows.calls, case.flows.calls)
    called = np.where(case.links.callee == "stock", grown.links.calls, case.links.calls)
    case = replace(case, flows=replace(case.flows, calls=stock), links=replace(case.links, calls=called))
    assert surges(case) == {}


def test_a_few_requests_more_are_no_surge() -> None:
    """An operation that nobody used for minutes is used twice: twenty times as often, and it overloads nobody."""
    case = incident(slow=SLOW, failing=SLOW)
    flows = case.flows
    assert flows is not None
    once = np.where(flows.time >= ONSET, 0.4, 0.02)
    rare = replace(flows, calls=np.where(flows.node == "gate", once, flows.calls))
    case = replace(case, flows=rare)
    assert surges(case)["gate"].overload < 0.5
    assert all(overload.share == 0 for overload in overloads(case).values())
    assert first_of(case).candidate == REDIS
