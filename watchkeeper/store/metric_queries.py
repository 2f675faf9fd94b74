"""The SQL of metric plots: any metric by its labels, over the exporter's tables. Times are Unix seconds.

A series is a metric with one set of labels from one resource. Each query works each series out for itself (a gauge's
mean in a step, a counter's growth, a histogram's), and then puts the series of a group together. A counter that falls
has begun anew: what it shows then is all growth. After a gap of `gap_s` nothing is known of the growth meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from watchkeeper.store.catalog_schema import TABLE_OF
from watchkeeper.store.log_search import unlike

Operator = Literal["=", "!="]
# How the series of a group become one, and what of a series is taken.
AGGREGATIONS: Final = {
    "avg": "avg(v)",
    "sum": "sum(v)",
    "min": "min(v)",
    "max": "max(v)",
    "p95": "quantile(0.95)(v)",
}
MOST_GROUPS: Final = 12  # lines that a plot can show
SERVICE: Final = "service"
_SERIES: Final = "cityHash64(ServiceName, Attributes, ResourceAttributes)"
_STEP: Final = "toInt64(intDiv(toUnixTimestamp(toDateTime(TimeUnix, 'UTC')), {step:UInt32}) * {step:UInt32})"
_NANOS: Final = "toUnixTimestamp64Nano(toDateTime64({}, 9))"  # a Collector's older tables have whole seconds
_BEFORE: Final = "OVER (PARTITION BY series ORDER BY at ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)"
_SINCE: Final = f"(toFloat64(at - first_value(at) {_BEFORE}) / 1e9)"
_KNOWN: Final = f"count() {_BEFORE} > 0 AND {_SINCE} <= {{gap_s:Float64}} AND {_SINCE} > 0"
# Delta points name the time that they cover, as far as they do.
_COVERED: Final = f"if(started > 0 AND started < at, toFloat64(at - started) / 1e9, if({_KNOWN}, {_SINCE}, NULL))"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMatch:
    """A condition on one label; `*` in `value` stands for any text. The label `service` is the sender's name."""

    label: str
    operator: Operator
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """Which series of a metric, grouped by which labels, and over which spans of time.

    Attributes:
        kind: as the catalogue has it: gauge, counter, histogram and so on.
        spans: (start, end) in Unix seconds; steps outside of them are left out.
        step_s: seconds a point.
        gap_s: how far apart two points of a counter may be, so that its growth between them is known.
    """

    metric: str
    kind: str
    where: tuple[LabelMatch, ...] = ()
    by: tuple[str, ...] = ()
    spans: tuple[tuple[float, float], ...]
    step_s: int
    gap_s: float

    @property
    def table(self) -> str:
        """The table with its points."""
        return f"otel_metrics_{TABLE_OF[self.kind]}"


def values_sql(query: MetricQuery, aggregation: str) -> str:
    """Levels of a gauge or of an up-down counter, and totals of a counter, by group: see `_grouped`."""
    inner = (
        f"SELECT {_STEP} AS step, {_labels(query)} AS labels, {_SERIES} AS series, avg(Value) AS v "
        f"FROM {query.table} WHERE {_where(query)} AND isFinite(Value) GROUP BY step, labels, series"
    )
    return _grouped(query, inner, AGGREGATIONS[aggregation])


def rates_sql(query: MetricQuery, aggregation: str) -> str:
    """Growth a second: of a counter's value, or of how many observations a histogram or a summary has."""
    column, temporality = _counting(query)
    inner = (
        "SELECT step, labels, series, avg(per_s) AS v FROM ("
        f"SELECT step, labels, series, {_rate('value')} AS per_s FROM ("
        f"{_points(query)}, toFloat64({column}) AS value, {temporality} AS temporality "
        f"FROM {query.table} WHERE {_where(query, lookback=True)} AND isFinite(value))) "
        "WHERE per_s IS NOT NULL GROUP BY step, labels, series"
    )
    return _grouped(query, inner, AGGREGATIONS[aggregation])


def means_sql(query: MetricQuery) -> str:
    """The mean observation of a histogram or a summary, over all series of a group."""
    _, temporality = _counting(query)
    return _grouped(
        query,
        "SELECT step, labels, grown_sum, grown_count FROM ("
        f"SELECT step, labels, {_growth('total')} AS grown_sum, {_growth('value')} AS grown_count FROM ("
        f"{_points(query)}, toFloat64(Count) AS value, Sum AS total, {temporality} AS temporality "
        f"FROM {query.table} WHERE {_where(query, lookback=True)} AND isFinite(Sum))) WHERE grown_count > 0",
        "sum(grown_sum) / sum(grown_count)",
    )


def buckets_sql(query: MetricQuery) -> str:
    """A histogram's new observations by bucket, for quantiles.

    Columns: labels (array), observations (of the group, for its rank), steps (Unix seconds), bounds (array of arrays),
    counts (array of arrays; one longer than its bounds), groups (how many there are in all).
    """
    before = f"first_value(counts) {_BEFORE}"
    grown = (
        f"multiIf(temporality = 1, counts, NOT ({_KNOWN}), arrayResize([toUInt64(0)], length(counts)), "
        f"length({before}) != length(counts) OR value < first_value(value) {_BEFORE}, counts, "
        f"arrayMap((now, then) -> if(now >= then, toUInt64(now - then), now), counts, {before}))"
    )
    return (
        "SELECT labels, sum(seen) AS observations, groupArray(step) AS steps, groupArray(bounds) AS bounds, "
        "groupArray(counts) AS counts, count() OVER () AS groups FROM ("
        "SELECT step, labels, bounds, sumForEach(grown) AS counts, arraySum(counts) AS seen FROM ("
        f"SELECT step, labels, bounds, {grown} AS grown FROM ("
        f"{_points(query)}, Count AS value, BucketCounts AS counts, ExplicitBounds AS bounds, "
        f"AggregationTemporality AS temporality FROM {query.table} WHERE {_where(query, lookback=True)} "
        "AND length(BucketCounts) = length(ExplicitBounds) + 1)) GROUP BY step, labels, bounds) "
        f"WHERE seen > 0 AND {_in_spans(query)} GROUP BY labels ORDER BY observations DESC, labels LIMIT {MOST_GROUPS}"
    )


def exponential_sql(query: MetricQuery) -> str:
    """An exponential histogram's new observations by bucket, for quantiles; those below zero are left out.

    Columns: labels, observations, groups, and steps, scales, indexes, counts as arrays of one length. A bucket holds
    values from base^index to base^(index + 1), where base is 2^(2^-scale); the index -2147483648 is that of zero.
    """
    same = "PARTITION BY series, scale, index ORDER BY at ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING"
    # A bucket that was not sent before held nothing, unless the whole series or its scale is new.
    before = f"if(first_value(at) OVER ({same}) = earlier, first_value(observed) OVER ({same}), 0)"
    grown = (
        f"multiIf(temporality = 1, observed, NOT known OR earlier_scale != scale, 0, fell OR observed < {before}, "
        f"observed, observed - {before})"
    )
    return (
        "SELECT labels, sum(seen) AS observations, groupArray(step) AS steps, groupArray(scale) AS scales, "
        "groupArray(index) AS indexes, groupArray(seen) AS counts, count() OVER () AS groups FROM ("
        "SELECT step, labels, scale, index, sum(grown) AS seen FROM ("
        f"SELECT step, labels, scale, index, {grown} AS grown FROM ("
        "SELECT *, bucket.1 AS index, toInt64(bucket.2) AS observed FROM ("
        f"SELECT *, first_value(at) {_BEFORE} AS earlier, first_value(scale) {_BEFORE} AS earlier_scale, "
        f"({_KNOWN}) AS known, value < first_value(value) {_BEFORE} AS fell, arrayConcat([(toInt32(-2147483648), "
        "zeros)], arrayMap((n, i) -> (toInt32(shift + i - 1), n), counts, arrayEnumerate(counts))) AS buckets FROM ("
        f"{_points(query)}, Count AS value, Scale AS scale, ZeroCount AS zeros, PositiveOffset AS shift, "
        f"PositiveBucketCounts AS counts, AggregationTemporality AS temporality FROM {query.table} "
        f"WHERE {_where(query, lookback=True)})) ARRAY JOIN buckets AS bucket)) GROUP BY step, labels, scale, index) "
        f"WHERE seen > 0 AND {_in_spans(query)} GROUP BY labels ORDER BY observations DESC, labels LIMIT {MOST_GROUPS}"
    )


def interval_sql(query: MetricQuery) -> str:
    """How often a series of the metric is sent: interval_s, the median of up to 200 series; none without two points."""
    at = _NANOS.format("TimeUnix")
    return (
        "SELECT median(apart) AS interval_s FROM ("
        f"SELECT toFloat64(max({at}) - min({at})) / 1e9 "
        f"/ (uniqExact(TimeUnix) - 1) AS apart FROM {query.table} WHERE {_where(query)} "
        f"GROUP BY {_SERIES} HAVING uniqExact(TimeUnix) > 1 LIMIT 200) HAVING count() > 0"
    )


def parameters(query: MetricQuery) -> dict[str, Any]:
    """What fills the `{name:Type}` of each of the statements above."""
    filled: dict[str, Any] = {"metric": query.metric, "step": query.step_s, "gap_s": query.gap_s}
    for number, label in enumerate(query.by):
        filled[f"by{number}"] = label
    for number, match in enumerate(query.where):
        filled |= {f"label{number}": match.label, f"value{number}": _pattern(match.value)}
    for number, (start, end) in enumerate(query.spans):
        filled |= {f"start{number}": start, f"end{number}": end}
    return filled


def _grouped(query: MetricQuery, inner: str, value: str) -> str:
    """Columns: labels (array of the values of `by`), steps (Unix seconds, sorted), points, groups (how many in all).

    The groups with the highest mean come first, at most `MOST_GROUPS`.
    """
    return (
        "SELECT labels, arrayMap(p -> p.1, pairs) AS steps, arrayMap(p -> p.2, pairs) AS points, groups FROM ("
        "SELECT labels, arraySort(groupArray((step, point))) AS pairs, avg(point) AS level, count() OVER () AS groups "
        f"FROM (SELECT step, labels, toFloat64({value}) AS point FROM ({inner}) GROUP BY step, labels) "
        f"WHERE isFinite(point) AND {_in_spans(query)} GROUP BY labels ORDER BY level DESC, labels LIMIT {MOST_GROUPS})"
    )


def _points(query: MetricQuery) -> str:
    return (
        f"SELECT {_STEP} AS step, {_labels(query)} AS labels, {_SERIES} AS series, "
        f"{_NANOS.format('TimeUnix')} AS at, {_NANOS.format('StartTimeUnix')} AS started"
    )


def _rate(column: str) -> str:
    before = f"first_value({column}) {_BEFORE}"
    return (
        f"multiIf(temporality = 1, {column} / {_COVERED}, {_KNOWN}, "
        f"if({column} >= {before}, {column} - {before}, {column}) / {_SINCE}, NULL)"
    )


def _growth(column: str) -> str:
    """A histogram's sum may fall without a reset, where it observes what is below zero: its count shows the reset."""
    before = f"first_value({column}) {_BEFORE}"
    return (
        f"multiIf(temporality = 1, {column}, {_KNOWN}, "
        f"if(value >= first_value(value) {_BEFORE}, {column} - {before}, {column}), 0)"
    )


def _counting(query: MetricQuery) -> tuple[str, str]:
    column = "Value" if query.kind == "counter" else "Count"
    return column, "2" if query.kind == "summary" else "AggregationTemporality"


def _label(place: str) -> str:
    name = f"{{{place}:String}}"
    return (
        f"multiIf({name} = '{SERVICE}', toString(ServiceName), mapContains(Attributes, {name}), Attributes[{name}], "
        f"ResourceAttributes[{name}])"
    )


def _labels(query: MetricQuery) -> str:
    if not query.by:
        return "emptyArrayString()"
    return f"[{', '.join(_label(f'by{number}') for number in range(len(query.by)))}]"


def _where(query: MetricQuery, *, lookback: bool = False) -> str:
    """Flag 1 of a point says that there is no value."""
    back = " - {gap_s:Float64}" if lookback else ""
    times = " OR ".join(
        f"(TimeUnix >= fromUnixTimestamp64Milli(toInt64(({{start{n}:Float64}}{back}) * 1000)) "
        f"AND TimeUnix < fromUnixTimestamp64Milli(toInt64({{end{n}:Float64}} * 1000)))"
        for n in range(len(query.spans))
    )
    # The catalogue names who sends the metric, so that the index, which begins with the service, can be used.
    senders = "ServiceName IN (SELECT service FROM metric_catalog WHERE metric = {metric:String})"
    conditions = [senders, "MetricName = {metric:String}", f"({times})", "bitAnd(Flags, 1) = 0"]
    for number, match in enumerate(query.where):
        like = f"{_label(f'label{number}')} LIKE {{value{number}:String}}"
        conditions.append(f"NOT ({like})" if match.operator == "!=" else like)
        if match.label == SERVICE and match.operator == "=":
            conditions.append(f"ServiceName LIKE {{value{number}:String}}")
    if query.kind in ("counter", "up-down counter"):
        conditions.append("IsMonotonic" if query.kind == "counter" else "NOT IsMonotonic")
    return " AND ".join(conditions)


def _in_spans(query: MetricQuery) -> str:
    # A step that is not over yet would look like a fall.
    whole = "step >= {{start{n}:Float64}} AND step + {{step:UInt32}} <= {{end{n}:Float64}}"
    spans = (f"({whole.format(n=n)})" for n in range(len(query.spans)))
    return f"({' OR '.join(spans)})"


def _pattern(value: str) -> str:
    """A LIKE pattern in which only `*` stands for any text."""
    return unlike(value).replace("*", "%")


def matched(by: Sequence[str], values: Sequence[str]) -> str:
    """A group's name: `route=/cart, status=500`; empty for the one group of all."""
    return ", ".join(f"{label}={value or '(none)'}" for label, value in zip(by, values, strict=True))
