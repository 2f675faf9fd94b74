"""Systems that record metrics and nothing else: no traces, no logs, mostly no call graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rca.case import Case, Series
from rca.edge_metrics import metric_links
from rca.engine import rank
from watchkeeper.bench.rca import robust_z

SERVICES = tuple(f"s{number}" for number in range(10))
BEFORE, AFTER, STEP_S = 40, 20, 15.0
# Who calls whom; the engine is not told.
CALLS = {0: (1, 2, 3), 1: (4, 5), 2: (5, 6), 3: (7,), 6: (8,), 7: (9,)}
NAMES = {
    "resource": "cpu_usage_percent",
    "memory": "memory_usage_bytes",
    "disk": "disk_written_bytes",
    "handles": "open_sockets",
    "latency": "latency_p90_seconds",
    "requests": "requests_per_second",
    "errors": "errors_per_second",
}


def incident(fault: str, culprit: int, seed: int, names: dict[str, str] = NAMES) -> Case:
    """Ten services, seven metrics each, one fault whose effect callers feel; some series have bursts of their own."""
    dice = np.random.default_rng(seed)
    count, steps = len(SERVICES), BEFORE + AFTER
    on = np.arange(steps) >= BEFORE
    own = dice.lognormal(-4.5, 0.5, (count, 1)) * dice.lognormal(0, 0.1, (count, steps))
    values = {
        "resource": dice.lognormal(2, 0.6, (count, 1)) * dice.lognormal(0, 0.1, (count, steps)),
        "memory": dice.lognormal(19, 0.5, (count, 1)) * (1 + 0.002 * np.cumsum(dice.normal(0, 1, (count, steps)), 1)),
        "disk": dice.lognormal(9, 1, (count, 1)) * dice.lognormal(0, 0.4, (count, steps)),
        "handles": np.round(dice.lognormal(3, 0.5, (count, 1)) * dice.lognormal(0, 0.05, (count, steps))),
        "requests": 20 * dice.lognormal(0, 0.1, (count, steps)),
        "errors": np.zeros((count, steps)),
    }
    match fault:
        case "latency":
            own[culprit] += on * 0.1
        case "errors":
            values["errors"][culprit] += on * 2.0
        case "resource":
            values[fault][culprit] += on * 60.0
            own[culprit] *= 1 + on * 0.5
        case "memory":
            values[fault][culprit] *= 1 + on * 0.8
        case _:
            values[fault][culprit] += on * 300_000.0 if fault == "disk" else on * 150.0
    for caller in sorted(CALLS, reverse=True):
        for callee in CALLS[caller]:
            own[caller] = own[caller] + 0.8 * own[callee]
            values["errors"][caller] += 0.6 * values["errors"][callee]
    values["latency"] = own
    values = {metric: table * (1 + (dice.random(table.shape) < 0.02) * 0.5) for metric, table in values.items()}
    rows = [(name, metric) for metric in values for name in range(count)]
    return Case(
        id=f"{fault}-{culprit}",
        onset=BEFORE * STEP_S,
        end=steps * STEP_S,
        candidates=SERVICES,
        series=Series(
            time=np.tile(np.arange(steps) * STEP_S, len(rows)),
            node=np.repeat(np.array([SERVICES[name] for name, _ in rows], dtype=object), steps),
            metric=np.repeat(np.array([names[metric] for _, metric in rows], dtype=object), steps),
            value=np.concatenate([values[metric][name] for name, metric in rows]),
        ),
    )


FAULTS = ("latency", "errors", "resource", "memory", "disk", "handles")
INCIDENTS = [(fault, culprit) for fault in FAULTS for culprit in (0, 2, 5, 8)]


def _first(fault: str, culprit: int, names: dict[str, str]) -> bool:
    return rank(incident(fault, culprit, culprit, names))[0].candidate == SERVICES[culprit]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_culprit_is_first(fault: str) -> None:
    """Whatever it hurts by, and whether it is called by many or by nobody."""
    assert [culprit for culprit in (0, 2, 5, 8) if not _first(fault, culprit, NAMES)] == []


def test_names_that_say_nothing_still_point_at_the_culprit() -> None:
    """Without words to go by, what stands out most is as good a lead as the plain largest-z baseline."""
    blank = {metric: f"m{number}" for number, metric in enumerate(NAMES)}
    ours = sum(_first(fault, culprit, blank) for fault, culprit in INCIDENTS)
    plain = sum(
        robust_z(incident(fault, culprit, culprit, blank))[0] == SERVICES[culprit] for fault, culprit in INCIDENTS
    )
    assert ours >= max(plain, len(INCIDENTS) - 3)


def test_renaming_services_changes_nothing_but_names() -> None:
    """The ranking goes by what services do, never by what they are called."""
    case = incident("latency", 5, seed=5)
    assert case.series is not None
    new = {name: f"{chr(122 - number)}-thing" for number, name in enumerate(SERVICES)}
    renamed = replace(
        case,
        candidates=tuple(sorted(new.values())),
        series=replace(case.series, node=np.array([new[name] for name in case.series.node], dtype=object)),
    )
    scores = {one.candidate: one.score for one in rank(case)}
    again = {one.candidate: one.score for one in rank(renamed)}
    assert again == pytest.approx({new[name]: score for name, score in scores.items()})


def test_three_samples_that_agree_prove_little() -> None:
    """With hardly any past, a node that happens to be steady does not win by a small change."""
    case = incident("memory", 5, seed=5)
    assert case.series is not None
    late = case.series.time >= (BEFORE - 3) * STEP_S
    few = replace(case, series=case.series.where(late))
    assert rank(few)[0].candidate == SERVICES[5]


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
