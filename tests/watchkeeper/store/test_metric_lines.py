"""A metric's lines from its points as they were sent: levels, rates, means and quantiles; and the catalogue."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_requests import attributes, metrics, nanos, segment, traces

from bench.own_roles import OwnRoles
from dashboard.reads.cache import Cache
from dashboard.reads.metrics import Line, Lines, MetricReads, band_of
from watchkeeper.store import catalog_queries
from watchkeeper.store.metric_queries import LabelMatch, MetricQuery, matched
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
# At a whole step: a point a minute is shown in steps of two.
START = datetime.fromtimestamp(time.time() // 120 * 120 - 720, UTC)
WINDOW = Window(start=START, end=START + timedelta(minutes=12))
SPAN = (START.timestamp(), WINDOW.end.timestamp())
DELTA, CUMULATIVE = 1, 2


def load(loader: Statements, request: ExportMetricsServiceRequest) -> None:
    for statement in inserts(Destination(database="otel", memory_mib=500), "metrics", secrets.token_hex(8)):
        loader.run(f"{statement} FORMAT Protobuf", segment(request))


def numbers(
    name: str, values: Sequence[float], labels: Mapping[str, str], *, kind: str = "gauge", temporality: int = 0
) -> ExportMetricsServiceRequest:
    """A point a minute from `START` on."""
    request, held = metrics("svc-" + name)
    metric = held.add(name=name, unit="By", description=f"What {name} is")
    data = metric.gauge if kind == "gauge" else metric.sum
    if kind != "gauge":
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = temporality, True
    for minute, value in enumerate(values):
        at = START + timedelta(minutes=minute)
        point = data.data_points.add(time_unix_nano=nanos(at), as_double=value)
        if temporality == DELTA:
            point.start_time_unix_nano = nanos(at - timedelta(minutes=1))
        attributes(point.attributes, labels)
    return request


def asked(name: str, kind: str, **changes: Any) -> MetricQuery:
    return MetricQuery(metric=name, kind=kind, spans=(SPAN,), step_s=30, gap_s=60, **changes)


def lines(roles: OwnRoles, query: MetricQuery, show: str = "value", aggregation: str = "avg") -> Lines:
    return MetricReads(roles.telemetry, Cache(0)).lines(query, show, aggregation)


def values(line: Line) -> list[float]:
    return [round(value, 6) for value in line.values.tolist()]


@pytest.fixture
def name() -> str:
    return "m-" + secrets.token_hex(4)


def test_series_are_grouped_filtered_and_put_together(roles: OwnRoles, loader: Statements, name: str) -> None:
    """`by` makes a line of each value, the highest first; filters take `*`, and the step fits how often it is sent."""
    for pool, instance, level in (("heap", "a", 10.0), ("heap", "b", 30.0), ("meta", "a", 1.0), ("code", "a", 2.0)):
        load(loader, numbers(name, [level] * 5, {"pool": pool, "instance": instance}))
    grouped = lines(roles, asked(name, "gauge", by=("pool",)), aggregation="sum")
    assert [line.labels for line in grouped.lines] == [("heap",), ("code",), ("meta",)]
    assert values(grouped.lines[0])[:2] == [40.0, 40.0]
    assert (grouped.groups, grouped.step_s) == (3, 120)
    where = (LabelMatch(label="pool", operator="=", value="*e*"), LabelMatch(label="pool", operator="!=", value="code"))
    (one,) = lines(roles, asked(name, "gauge", where=where), aggregation="max").lines
    assert values(one) == [30.0] * 3
    assert not lines(
        roles, asked(name, "gauge", where=where[1:] * 2 + (LabelMatch(label="instance", operator="=", value="c"),))
    ).lines
    by_sender = lines(roles, asked(name, "gauge", by=("service", "nothing")), aggregation="min").lines
    assert [line.labels for line in by_sender] == [(f"svc-{name}", "")]
    assert matched(("service", "nothing"), by_sender[0].labels) == f"service=svc-{name}, nothing=(none)"


def test_a_wildcard_is_the_only_one(roles: OwnRoles, loader: Statements, name: str) -> None:
    """What LIKE reads as a pattern is text: `_`, `%` and a backslash match themselves."""
    load(loader, numbers(name, [1.0] * 4, {"path": "a%b_c\\d"}))
    for value, count in (("a%b_c\\d", 1), ("a%*", 1), ("a%b.c\\d", 0), ("%", 0), ("_*", 0)):
        where = (LabelMatch(label="path", operator="=", value=value),)
        assert len(lines(roles, asked(name, "gauge", where=where)).lines) == count, value


def test_a_counter_shows_its_rate_through_a_reset(roles: OwnRoles, loader: Statements, name: str) -> None:
    """600 a minute are 10 a second; after a restart it counts from zero; the first point says nothing."""
    load(loader, numbers(name, [600, 1200, 1800, 300, 900], {}, kind="sum", temporality=CUMULATIVE))
    (line,) = lines(roles, asked(name, "counter"), "rate", "sum").lines
    assert values(line) == [10, 7.5, 10]
    (total,) = lines(roles, asked(name, "counter"), "value", "max").lines
    assert values(total) == [900, 1050, 900]


def test_delta_and_cumulative_give_the_same_rate(roles: OwnRoles, loader: Statements, name: str) -> None:
    """A delta point is a growth of its own, over the time that it names."""
    load(loader, numbers(name, [600, 600, 600, 300, 600], {}, kind="sum", temporality=DELTA))
    (line,) = lines(roles, asked(name, "counter"), "rate", "sum").lines
    assert values(line) == [10, 7.5, 10]


def histogram(name: str, counts: Sequence[Sequence[int]], temporality: int, sums: Sequence[float]) -> Any:
    request, held = metrics("svc-" + name)
    data = held.add(name=name, unit="ms").histogram
    data.aggregation_temporality = temporality
    for minute, (buckets, total) in enumerate(zip(counts, sums, strict=True)):
        data.data_points.add(
            time_unix_nano=nanos(START + timedelta(minutes=minute)),
            start_time_unix_nano=nanos(START + timedelta(minutes=minute - 1)),
            count=sum(buckets),
            sum=total,
            bucket_counts=buckets,
            explicit_bounds=[10, 20],
        )
    return request


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_a_histogram_has_quantiles_a_mean_and_a_rate(
    roles: OwnRoles, loader: Statements, name: str, temporality: int
) -> None:
    """100 observations from 0 to 20 a minute: the median is 10, and 600 s of them are counted once."""
    grown = [[60, 60, 0]] * 6
    sent = grown if temporality == DELTA else [[60 * n, 60 * n, 0] for n in range(1, 7)]
    sums = [1200.0] * 6 if temporality == DELTA else [1200.0 * n for n in range(1, 7)]
    load(loader, histogram(name, sent, temporality, sums))
    query = asked(name, "histogram")
    (median,) = lines(roles, query, "p50").lines
    assert set(values(median)) == {10.0}
    assert set(values(lines(roles, query, "p75").lines[0])) == {15.0}
    assert set(values(lines(roles, query, "mean").lines[0])) == {10.0}
    assert set(values(lines(roles, query, "rate", "sum").lines[0])) == {2.0}


def test_what_lies_above_the_last_bound_is_not_invented(roles: OwnRoles, loader: Statements, name: str) -> None:
    """Above the last bound only that bound is known, even for p99."""
    load(loader, histogram(name, [[10, 0, 90]] * 4, DELTA, [1.0] * 4))
    assert set(values(lines(roles, asked(name, "histogram"), "p99").lines[0])) == {20.0}


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_an_exponential_histogram_has_quantiles(
    roles: OwnRoles, loader: Statements, name: str, temporality: int
) -> None:
    """Scale 0 doubles: buckets (1, 2], (2, 4], (4, 8]. A bucket that appears later counts from zero."""
    request, held = metrics("svc-" + name)
    data = held.add(name=name).exponential_histogram
    data.aggregation_temporality = temporality
    for minute in range(1, 7):
        seen = 1 if temporality == DELTA else minute
        point = data.data_points.add(time_unix_nano=nanos(START + timedelta(minutes=minute)), count=20 * seen, sum=1.0)
        point.positive.offset = 1 if minute < 4 else 0  # from the fourth minute on, a lower bucket comes in
        low = 1 if temporality == DELTA else minute - 3
        point.positive.bucket_counts.extend([20 * seen] if minute < 4 else [20 * low, 20 * seen])
    load(loader, request)
    median = values(lines(roles, asked(name, "exponential histogram"), "p50").lines[0])
    assert (median[0], median[-1]) == (3.0, 2.0), "only (2, 4] has grown, then as much in (1, 2]"


def test_the_catalogue_counts_series_and_values(roles: OwnRoles, loader: Statements, name: str) -> None:
    """Unit, description, senders, series and the values of each label, without reading the points."""
    for number in range(6):
        load(loader, numbers(name, [1.0, 2.0], {"user": str(number), "pool": str(number % 2)}))
    reads = MetricReads(roles.telemetry, Cache(0))
    (metric,) = [each for each in reads.dictionary(WINDOW) if each.name == name]
    assert (metric.kind, metric.unit, metric.description) == ("gauge", "By", f"What {name} is")
    assert (metric.services, metric.series, metric.points) == (1, 6, 12)
    assert reads.labels(WINDOW, name) == [("user", 6), ("pool", 2)]
    (sender,) = reads.senders(WINDOW, name)
    assert (sender.service, sender.series) == (f"svc-{name}", 6)


def test_what_arrives_is_counted_by_the_minute_of_its_arrival(roles: OwnRoles, loader: Statements, name: str) -> None:
    """Rows, bytes and lag, whatever time the rows name; a segment that is sent twice counts once."""
    before, token = time.time(), secrets.token_hex(8)
    request = traces("svc-" + name, {"at": START}, {"at": START})
    for statement in inserts(Destination(database="otel", memory_mib=500), "traces", token) * 2:
        loader.run(f"{statement} FORMAT Protobuf", segment(request))
    window = {"start": before - 120, "end": time.time() + 120}
    rows = roles.telemetry.query(catalog_queries.SOURCES, window).to_pylist()
    (row,) = [row for row in rows if row["service"] == "svc-" + name]
    assert (row["signal"], row["rows"], row["scopes"]) == ("traces", 2, ["tests"])
    assert row["bytes"] > 50
    assert row["lag_ms_mean"] == pytest.approx((before - START.timestamp()) * 1000, abs=60_000)


def test_the_band_is_where_earlier_days_lay() -> None:
    """The median of the same half hour on earlier days, with three robust deviations; two days are too few."""
    day, start = 86_400.0, 1_000_000 * 60.0
    times = np.array([start - n * day + k * 60 for n in range(1, 6) for k in range(-30, 61)])
    usual = np.random.default_rng(1).normal(100.0, 1.0, times.size)
    band = band_of(Line(labels=(), times=times, values=usual), start, start + 600, 60)
    assert band is not None
    assert (band.days, len(band.times)) == (5, 10)
    assert abs(band.middle[0] - 100) <= 1
    assert band.high[0] - band.low[0] == pytest.approx(2 * 3, rel=0.3)
    few = times > start - 2 * day - 3600
    assert band_of(Line(labels=(), times=times[few], values=usual[few]), start, start + 600, 60) is None
