"""Systems that record metrics and nothing else: no traces, no logs, mostly no call graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.rca import robust_z
from bench.rca_simulated import FAULTS, SERVICES, VARIANTS, Variant, incident, incidents
from rca.edge_metrics import metric_links
from rca.registry import read_engine

PLAIN, BLANK = Variant(name="plain"), Variant(name="blank", meaningful=False)
CULPRITS = (0, 2, 5, 8)
ENGINE = read_engine()


def _first(variant: Variant, fault: str, culprit: int) -> bool:
    return ENGINE.rank(incident(variant, fault, culprit, seed=culprit)).ranked[0].candidate == SERVICES[culprit]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_culprit_is_first(fault: str) -> None:
    """Whatever it hurts by, and whether it is called by many or by nobody."""
    assert [culprit for culprit in CULPRITS if not _first(PLAIN, fault, culprit)] == []


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_it_is_not_behind_the_plain_baseline(variant: Variant) -> None:
    """Whatever makes a system hard, the engine finds the culprits that the largest robust z does, and most of all."""
    ours = plain = 0
    for case, culprit in incidents(variant):
        ours += ENGINE.rank(case).ranked[0].candidate == culprit
        plain += robust_z(case)[0] == culprit
    assert ours >= plain - 1
    assert ours >= 40


def test_renaming_services_changes_nothing_but_names() -> None:
    """The ranking goes by what services do, never by what they are called."""
    case = incident(PLAIN, "latency", 5, seed=5)
    assert case.series is not None
    new = {name: f"{chr(122 - number)}-thing" for number, name in enumerate(SERVICES)}
    renamed = replace(
        case,
        candidates=tuple(sorted(new.values())),
        series=replace(case.series, node=np.array([new[name] for name in case.series.node], dtype=object)),
    )
    scores = {one.candidate: one.score for one in ENGINE.rank(case).ranked}
    again = {one.candidate: one.score for one in ENGINE.rank(renamed).ranked}
    assert again == pytest.approx({new[name]: score for name, score in scores.items()})


def test_edge_metrics_become_links() -> None:
    """Callers' wait and callee's own time come from the metrics of an edge; milliseconds become seconds."""
    links = metric_links(
        time=np.array([0.0, 0.0]),
        caller=np.array(["a", "a"], dtype=object),
        callee=np.array(["b", "b"], dtype=object),
        metric=np.array(["edge_client_latency_p50_ms", "edge_server_latency_p50_ms"], dtype=object),
        value=np.array([40.0, 4.0]),
    )
    assert links is not None
    assert (links.waited.tolist(), links.served.tolist()) == ([0.04], [0.004])
