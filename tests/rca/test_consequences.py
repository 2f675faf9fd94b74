"""Trouble that is a consequence: of a callee that gives no replies, of one that is slow, of a surge of requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from test_call_sides import CALLS, GRAPH, ONSET, REDIS, STEP, first_of, incident

from rca.case import Case, Heartbeats, Links, Unanswered, text
from rca.evidence.errors import between_errors
from rca.evidence.silence import silent_nodes


def refused(caller: str, callee: str, calls: float) -> Unanswered:
    """Calls that are refused."""
    number = np.array([calls])
    return Unanswered(
        caller=text([caller]), callee=text([callee]), calls=number, waited=number * 0.001, usual=np.array([0.004]),
        refused=number, timed_out=np.zeros(1),
    )  # fmt: skip


def without_calls_of(case: Case, caller: str) -> Case:
    """The case, with nothing that the caller's client spans show."""
    links = case.links
    assert links is not None
    known = links.caller != caller
    columns = {name: getattr(links, name)[known] for name in ("time", "caller", "callee", "calls", "errors", "waited")}
    return replace(case, links=Links(**columns, served=links.served[known], step=STEP))


def test_a_callee_passes_on_what_is_refused_to_it() -> None:
    """Search reports its failed replies as successes, and its calls to the cache are refused: the cache is named."""
    case = incident(failing={("gate", "search"): 0.5})
    case = replace(case, unanswered=refused("search", REDIS, 3 * CALLS))
    assert between_errors(case)["gate", "search"] < 1.0
    assert first_of(case).candidate == REDIS


def test_failures_of_who_waits_count_for_what_it_waits_for() -> None:
    """Search queues requests behind a slow cache until its caller gives up; the cache itself fails nothing."""
    case = incident(slow={("search", REDIS): 2.0}, failing={("gate", "search"): 0.8})
    first = first_of(case)
    assert first.candidate == REDIS
    assert any(term.kind == "errors" and "search" in term.sentence for _, term in first.terms)


def test_a_caller_without_client_spans_waits_for_its_slow_callee() -> None:
    """Who calls whom is known from spans of both; the database below is in the callee's calls alone."""
    case = incident(slow={("search", REDIS): 2.0}, failing={("gate", "search"): 0.8})
    case = replace(without_calls_of(case, "gate"), calls=frozenset(GRAPH))
    assert case.remaining("gate").failures < 0.1
    assert first_of(case).candidate == REDIS


def test_a_callee_that_hangs_is_named_although_nobody_measured_the_calls_to_it() -> None:
    """The basket has no client spans. It waits until it gives up, and the stock, which it calls, serves no more."""
    case = incident(slow={("gate", "basket"): 0.0})
    flows, links = case.flows, case.links
    assert flows is not None
    assert links is not None
    late = flows.time >= ONSET
    given_up = late & (flows.node == "basket")
    served = replace(
        flows,
        calls=np.where(late & (flows.node == "stock"), 0.0, flows.calls),
        errors=np.where(given_up, 0.8 * CALLS, flows.errors),
        busy=flows.busy + np.where(given_up, CALLS, 0.0),
    )
    case = replace(without_calls_of(without_calls_of(case, "basket"), "search"), flows=served)
    first = first_of(replace(case, calls=frozenset(GRAPH)))
    assert (first.candidate, first.mechanism) == ("stock", "hung")


def test_what_answers_or_always_reports_late_is_not_silent() -> None:
    """Reports end shortly before the onset: the stock's calls go on; maps are as late as they always are."""
    case = incident()
    beats = Heartbeats(
        node=text(["stock", "maps", "gate"]),
        last=np.array([ONSET - 8, ONSET + 80, ONSET + 115]),
        period=np.full(3, 5.0),
        horizon=ONSET + 120,
    )
    silent = silent_nodes(replace(case, heartbeats=beats))
    assert silent.get("stock", 0.0) < 0.1
    assert silent.get("maps", 0.0) < 0.2
    mute = silent_nodes(Case(id="c", onset=ONSET, end=ONSET + 120, candidates=("stock", "gate"), heartbeats=beats))
    assert mute["stock"] > 0.9
