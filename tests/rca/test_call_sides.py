"""Calls whose trouble one side alone can see: it belongs to whichever end is in trouble with others, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from rca.call_sides import caller_shares
from rca.case import Case, Flows, Links, text
from rca.dependencies import separate_dependencies
from rca.engine import Ranked
from rca.registry import read_engine

ONSET, STEP, STEPS_BEFORE, STEPS_AFTER = 1_790_000_000.0, 5.0, 60, 6
CALLS = 50.0  # a step, on each edge
OWN_S = 0.004
REDIS = "redis (cache-1:6379)"
# Who calls whom: two services use the same cache, each has a callee of its own, and one of these is shared.
GRAPH = (
    ("gate", "search"),
    ("gate", "basket"),
    ("search", "stock"),
    ("search", "maps"),
    ("basket", "stock"),
    ("search", REDIS),
    ("basket", REDIS),
)
REPORT = frozenset({"gate", "search", "basket", "stock", "maps"})


def incident(
    *,
    slow: Mapping[tuple[str, str], float] | None = None,
    failing: Mapping[tuple[str, str], float] | None = None,
    seed: int = 1,
) -> Case:
    """An incident in which calls of some edges take so many seconds longer, or fail by so large a share.

    What a call takes or fails is felt by all above it; the callee itself reports nothing of it.
    """
    draw = np.random.default_rng(seed)
    slow, failing = slow or {}, failing or {}
    times = ONSET + STEP * np.arange(-STEPS_BEFORE, STEPS_AFTER)
    late = times >= ONSET
    served: dict[str, np.ndarray] = {}
    failed: dict[str, np.ndarray] = {}
    links, flows = [], []
    for node in ("stock", "maps", REDIS, "search", "basket", "gate"):
        own = OWN_S * draw.lognormal(0, 0.1, len(times))
        bad = np.zeros(len(times))
        for edge in (edge for edge in GRAPH if edge[0] == node):
            gap = 0.001 * draw.lognormal(0, 0.1, len(times)) + late * slow.get(edge, 0.0)
            wrong = np.maximum(failed[edge[1]], np.where(late, failing.get(edge, 0.0), 0.0))
            links.append((*edge, served[edge[1]] + gap, served[edge[1]] if edge[1] in REPORT else np.nan * gap, wrong))
            own, bad = own + served[edge[1]] + gap, np.maximum(bad, wrong)
        served[node], failed[node] = own, bad
        if node in REPORT:
            flows.append((node, own, bad))
    return Case(
        id="case",
        onset=ONSET,
        end=float(times[-1] + STEP),
        candidates=tuple(sorted({*REPORT, REDIS})),
        calls=frozenset(GRAPH),
        links=Links(
            time=np.tile(times, len(links)),
            caller=text(np.repeat([row[0] for row in links], len(times)).tolist()),
            callee=text(np.repeat([row[1] for row in links], len(times)).tolist()),
            calls=np.full(len(links) * len(times), CALLS),
            errors=np.round(np.concatenate([row[4] for row in links]) * CALLS),
            waited=np.concatenate([row[2] for row in links]) * CALLS,
            served=np.concatenate([row[3] for row in links]) * CALLS,
            step=STEP,
        ),
        flows=Flows(
            time=np.tile(times, len(flows)),
            node=text(np.repeat([row[0] for row in flows], len(times)).tolist()),
            operation=text(["do"] * len(flows) * len(times)),
            calls=np.full(len(flows) * len(times), CALLS),
            errors=np.round(np.concatenate([row[2] for row in flows]) * CALLS),
            busy=np.concatenate([row[1] for row in flows]) * CALLS,
            step=STEP,
        ),
    )


def first_of(case: Case) -> Ranked:
    return read_engine().rank(case).ranked[0]


def test_a_dependency_that_all_its_callers_wait_for_is_named_although_it_reports_nothing() -> None:
    """Both callers of the cache wait for it; what else they call is as fast as ever."""
    found = first_of(incident(slow={("search", REDIS): 0.1, ("basket", REDIS): 0.1}))
    assert (found.candidate, found.mechanism) == (REDIS, "database")
    assert found.probability > 0.5


def test_a_dependency_whose_calls_fail_is_named_although_it_reports_nothing() -> None:
    """The failures surface in three services and begin in none of them."""
    found = first_of(incident(failing={("search", REDIS): 0.4, ("basket", REDIS): 0.3}))
    assert (found.candidate, found.mechanism) == (REDIS, "database")
    assert "basket, search" in found.terms[0][1].sentence


@pytest.mark.parametrize("added_s", [0.05, 0.3])
def test_a_caller_that_waits_for_all_that_it_calls_stalls_itself(added_s: float) -> None:
    """Its callees answer others as fast as ever, and report no longer times."""
    stalled = {edge: added_s for edge in GRAPH if edge[0] == "search"}
    found = first_of(incident(slow=stalled | {("gate", "search"): added_s}))
    assert found.candidate == "search"
    assert "stall" in {term.kind for _, term in found.terms}


def test_a_callee_that_all_callers_wait_for_is_named_ahead_of_them() -> None:
    """Both ends report: the gap is the callee's, or of the way to it."""
    found = first_of(incident(slow={("search", "stock"): 0.1, ("basket", "stock"): 0.1}))
    assert (found.candidate, found.terms[0][1].kind) == ("stock", "call_gap")


def test_calls_that_fail_on_the_way_count_for_the_callee() -> None:
    """The callee reports no failure of any of them."""
    found = first_of(incident(failing={("search", "stock"): 0.5, ("basket", "stock"): 0.5}))
    assert (found.candidate, found.mechanism) == ("stock", "network")


def test_a_caller_whose_calls_all_fail_on_the_way_is_named() -> None:
    """An expired certificate, or a network of its own that is down: those whom it calls serve others well."""
    found = first_of(incident(failing={edge: 0.8 for edge in GRAPH if edge[0] == "search"}))
    assert found.candidate == "search"


def test_a_single_pair_in_trouble_is_the_way_between_them() -> None:
    """Neither end has trouble with anybody else: nothing is the caller's."""
    assert caller_shares({("a", "x"): 1.0, ("a", "y"): 0.0, ("b", "x"): 0.0}) == {("a", "x"): 0.0}


def test_a_database_inside_of_its_only_caller_is_part_of_it() -> None:
    """A server of one caller can be blamed alone; a library of one caller cannot, and no service is a dependency."""
    callees = ["sqlite:orders", "postgresql:orders", "stock", "h2:shared", "h2:shared"]
    callers = ["a", "a", "a", "a", "b"]
    zero = np.zeros(len(callees))
    links = Links(
        time=zero,
        caller=text(callers),
        callee=text(callees),
        calls=zero,
        errors=zero,
        waited=zero,
        served=zero,
        step=5.0,
    )
    assert separate_dependencies(links, frozenset({"stock"})) == {"postgresql:orders", "h2:shared"}


def test_what_a_blocked_caller_shows_is_a_consequence() -> None:
    """The cache takes five hundred times longer: a caller queues requests itself, and the cache is still named."""
    case = incident(slow={("search", REDIS): 2.0, ("basket", REDIS): 2.0})
    flows = case.flows
    assert flows is not None
    queued = np.where((flows.node == "search") & (flows.time >= ONSET), 30.0 * CALLS, 0.0)
    case = replace(case, flows=replace(flows, busy=flows.busy + queued))
    assert case.remaining("search").seconds < 0.01
    assert first_of(case).candidate == REDIS


def test_a_caller_without_client_spans_may_call_what_is_in_trouble() -> None:
    """As much of its added time as a call to the slow cache takes counts for nothing; more than that is its own."""
    case = incident(slow={("search", REDIS): 0.1, ("basket", REDIS): 0.1})
    links = case.links
    assert links is not None
    known = links.caller != "basket"
    columns = {name: getattr(links, name)[known] for name in ("time", "caller", "callee", "calls", "errors", "waited")}
    case = replace(
        case,
        links=Links(**columns, served=links.served[known], step=STEP),
        calls=frozenset(edge for edge in GRAPH if edge[0] != "basket"),
    )
    assert case.remaining("basket").seconds < 0.1
    assert first_of(case).candidate == REDIS
