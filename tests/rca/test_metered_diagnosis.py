"""Diagnosis of a system without spans, by the metrics that count and time its requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from rca.case import Case, Series, text
from rca.live.metered import metered_flows, metered_links
from rca.registry import read_engine
from watchkeeper.request_metrics import role_of_made

ONSET, STEP = 1_790_000_000.0, 5.0
TIMES = (ONSET + STEP * np.arange(-36, 6)).astype(np.float64)
LATE = TIMES >= ONSET
Row = tuple[str, str, str, str, float, float]
ROUTE = '{"http.request.method":"GET","http.response.status_code":"%s","http.route":"/orders"}'


def served(service: str, usual_s: float, late_s: float, failing: float = 0.0, seed: int = 1) -> list[Row]:
    """Twenty requests a second with their mean durations, some of them failing since the onset."""
    draw = np.random.default_rng(seed)
    rows: list[Row] = []
    for at, late in zip(TIMES.tolist(), LATE.tolist(), strict=True):
        took = (late_s if late else usual_s) * float(draw.lognormal(0, 0.05))
        bad = failing if late else 0.0
        for status, share in (("200", 1.0 - bad), ("500", bad)):
            rows.append((service, "http.server.requests", ROUTE % status, "rate", at, 20.0 * share))
            rows.append((service, "http.server.request.duration", ROUTE % status, "mean", at, took))
    return rows


def table(rows: list[Row]) -> pa.Table:
    names = ("service", "metric", "attributes", "kind", "second", "value")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def case_of(rows: list[Row], *others: str, series: Series | None = None) -> Case:
    flows = metered_flows(table(rows), STEP)
    return Case(
        id="case",
        onset=ONSET,
        end=float(TIMES[-1] + STEP),
        candidates=tuple(sorted({service for service, *_ in rows} | set(others))),
        metered=flows,
        metered_links=metered_links(table(rows), STEP, flows),
        series=series,
    )


def test_requests_are_put_together_from_their_metrics() -> None:
    """Counts of every status, errors of failures, durations of the others; what is of the runtime is left out."""
    rows = served("stock", 0.02, 0.02, failing=0.25)
    rows += [("stock", "jvm.memory.used", "{}", "mean", float(TIMES[0]), 5e8)]
    rows += [("stock", "http.server.active_requests", "{}", "gauge", float(TIMES[0]), 3.0)]
    flows = metered_flows(table(rows), STEP)
    assert flows is not None
    assert set(flows.operation) == {"GET /orders"}
    assert flows.calls == pytest.approx(100.0)
    assert flows.errors[flows.time >= ONSET] == pytest.approx(25.0)
    assert flows.busy / flows.calls == pytest.approx(0.02, rel=0.3)
    assert metered_flows(table(rows[-2:]), STEP) is None


def slow() -> list[Row]:
    """All three wait for the stock, which takes a second; the gate does most besides."""
    return [*served("gate", 0.2, 1.2), *served("orders", 0.06, 1.06, seed=2), *served("stock", 0.01, 1.01, seed=3)]


def failing() -> list[Row]:
    """The stock fails half of its requests, which not every request at the gate needs; the pages are well."""
    return [
        *served("gate", 0.2, 0.2, failing=0.2),
        *served("stock", 0.01, 0.01, failing=0.5, seed=2),
        *served("pages", 0.1, 0.1, seed=3),
    ]


@pytest.mark.parametrize(("incident", "mechanism"), [(slow, "latency"), (failing, "errors")])
def test_the_deepest_service_is_named_without_any_call(incident: Callable[[], list[Row]], mechanism: str) -> None:
    """Nothing but metrics is known."""
    first = read_engine().rank(case_of(incident())).ranked[0]
    assert (first.candidate, first.mechanism) == ("stock", mechanism)


def test_each_service_is_compared_in_its_own_unit() -> None:
    """The gate reports milliseconds."""
    rows = [(*row[:5], row[5] * 1000.0) if row[3] == "mean" and row[0] == "gate" else row for row in slow()]
    assert read_engine().rank(case_of(rows)).ranked[0].candidate == "stock"


def test_a_calm_system_has_no_suspect() -> None:
    """Noise of a twentieth is no slowdown."""
    rows = [*served("gate", 0.2, 0.2), *served("stock", 0.01, 0.01, seed=2)]
    assert read_engine().rank(case_of(rows)).ranked[0].score < 0.2


def made(caller: str, metric: str, labels: str, usual_s: float, late_s: float, failing: float = 0.0) -> list[Row]:
    """As many requests that a service makes to somebody, as it serves."""
    draw = np.random.default_rng(7)
    rows: list[Row] = []
    for at, late in zip(TIMES.tolist(), LATE.tolist(), strict=True):
        took = (late_s if late else usual_s) * float(draw.lognormal(0, 0.05))
        bad = failing if late else 0.0
        for status, share in (("200", 1.0 - bad), ("500", bad)):
            attributes = f'{{{labels},"http.response.status_code":"{status}"}}'
            rows.append((caller, f"{metric}.count", attributes, "rate", at, 20.0 * share))
            rows.append((caller, metric, attributes, "mean", at, took))
    return rows


def first_of(case: Case) -> str:
    return read_engine().rank(case).ranked[0].candidate


def test_what_a_service_waits_for_longer_is_its_callees() -> None:
    """The gate does little else, so it slows down by more; its client's time, in milliseconds, tells whose it is."""
    rows = [*served("gate", 0.05, 1.05), *served("ledger", 0.5, 1.5, seed=2)]
    assert first_of(case_of(rows)) == "gate"
    to_ledger = '"server.address":"ledger.shop.svc.local"'
    calls = made("gate", "http.client.duration", to_ledger, 0.5, 1000.5)
    assert first_of(case_of([*rows, *calls])) == "ledger"
    timed = [row for row in calls if row[3] == "mean"]  # not counted: one for each request of the gate
    assert first_of(case_of([*rows, *timed])) == "ledger"


def test_failures_of_requests_made_are_the_callees() -> None:
    """The gate fails more than the ledger, since it calls it twice."""
    rows = [*served("gate", 0.2, 0.2, failing=0.6), *served("ledger", 0.1, 0.1, failing=0.35, seed=2)]
    assert first_of(case_of(rows)) == "gate"
    rows += made("gate", "http.client.request.duration", '"server.address":"ledger"', 0.1, 0.1, failing=0.6)
    assert first_of(case_of(rows)) == "ledger"


def test_a_database_that_reports_nothing_is_known_by_its_clients() -> None:
    """What the orders wait for is in the metrics of their client alone."""
    rows = [
        *served("orders", 0.05, 1.05),
        *made("orders", "db.client.operation.duration", '"db.name":"sales"', 0.01, 1.0),
    ]
    assert first_of(case_of(rows, "sales")) == "sales"
    late_by_itself = [
        *rows[: 4 * len(TIMES)],
        *made("orders", "db.client.operation.duration", '"db.name":"sales"', 0.01, 0.01),
    ]
    assert first_of(case_of(late_by_itself, "sales")) == "orders"


def test_threads_of_requests_that_wait_are_no_sign_of_their_own() -> None:
    """The threads in use rise with the duration; where durations are usual, they count."""
    values = np.where(LATE, 400.0, 20.0)
    threads = Series(
        time=TIMES, node=text(["gate"] * len(TIMES)), metric=text(["jvm.thread.count"] * len(TIMES)), value=values
    )

    def strength(rows: list[Row]) -> float:
        ranked = read_engine().rank(case_of(rows, series=threads)).ranked
        return sum(weight for one in ranked for weight, term in one.terms if term.kind == "handles")

    assert strength(served("gate", 0.2, 0.2)) > 0.5
    assert strength(served("gate", 0.2, 4.0)) < 0.1


def test_without_calls_a_lead_of_twice_the_slowdown_names_nobody() -> None:
    """Nobody knows who of them waits for whom: the chance stays below an even one."""
    rows = [*served("gate", 0.1, 0.3), *served("stock", 0.1, 0.6, seed=2)]
    assert read_engine().rank(case_of(rows)).ranked[0].probability < 0.5


def test_services_that_only_time_their_requests_are_read_beside_those_that_count() -> None:
    """Each of their buckets stands for one request."""
    timed = [row for row in served("stock", 0.02, 0.02, seed=2) if row[3] == "mean"]
    flows = metered_flows(table([*served("gate", 0.2, 0.2), *timed]), STEP)
    assert flows is not None
    assert flows.calls[flows.node == "gate"] == pytest.approx(100.0)
    assert flows.calls[flows.node == "stock"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "role"),
    [
        ("http.client.request.duration", "duration"),
        ("http.client.duration", "duration"),
        ("rpc.client.duration", "duration"),
        ("db.client.operation.duration", "duration"),
        ("messaging.client.operation.duration", "duration"),
        ("http_client_requests_seconds_count", "calls"),
        ("db.client.connections.wait_time", None),
        ("db.client.connection.count", None),
        ("http.client.active_requests", None),
        ("http.server.request.duration", None),
        ("http.client.request.body.size", None),
    ],
)
def test_requests_made_are_known_by_the_names_of_their_metrics(metric: str, role: str | None) -> None:
    """Present and former names of OpenTelemetry, and those of Prometheus clients."""
    assert role_of_made(metric) == role
