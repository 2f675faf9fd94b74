"""Two groups of spans side by side: how many, how long, and how often each has each value of each attribute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal

from watchkeeper.store.span_search import SpanSearch, condition, nanos
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

Split = Literal["slow", "failed", "before"]
MOST_SAMPLED: Final = 20_000  # spans of each group, whose attributes are counted
MOST_READ: Final = 2_000_000  # spans whose attributes are read: about a second's work
MOST_VALUES: Final = 500
RAREST: Final = 5  # spans of one group that have a value; of rarer ones nothing can be said

_SPLITS: Final[dict[Split, str]] = {
    "slow": "(Duration >= {split_ns:UInt64} AND Duration < {split_end_ns:UInt64})",
    "failed": "(StatusCode = 'Error')",
    "before": "(Timestamp >= fromUnixTimestamp64Nano({split_start_ns:Int64}))",
}
_ENDLESS_NS: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of spans; durations in milliseconds, 0 where there is none."""

    spans: int
    failed: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCount:
    """How many sampled spans of each group have a value. `place` is span, resource, or "" for the span's own fields."""

    place: str
    key: str
    value: str
    selected: int
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanComparison:
    """The selected spans and the others, how many of each were sampled, and the values that differ most in share.

    `window` is what was compared, the end of a window with too many spans; `least_ms` is from where a span is slow.
    """

    selected: Group
    others: Group
    sampled_selected: int
    sampled_others: int
    values: tuple[ValueCount, ...]
    least_ms: float
    window: Window


def compare_spans(telemetry: Telemetry, window: Window, search: SpanSearch, split: Split) -> SpanComparison:
    """Compare the slow with the others, the failed with the others, or a window with the same time before it.

    What is slow is what the search bounds by duration, else the slowest 5 %. The bound that a group is made by does not
    narrow the other one.

    Raises:
        StoreError: the store rejected it, or could not be reached.
    """
    window = _bounded(telemetry, window, search.service)
    searched, common = window, search
    values: dict[str, Any] = {}
    least_ms = 0.0
    if split == "before":
        searched = Window(start=window.start - timedelta(seconds=window.seconds), end=window.end)
        values["split_start_ns"] = nanos(window)["start_ns"]
    elif split == "failed":
        common = replace(search, failed=None)
    else:
        common = replace(search, least_ms=None, most_ms=None)
        least_ms = search.least_ms or (0.0 if search.most_ms else _p95_ms(telemetry, window, common))
        end = search.most_ms * 1e6 if search.most_ms else _ENDLESS_NS
        values |= {"split_ns": int(least_ms * 1e6), "split_end_ns": min(int(end), _ENDLESS_NS)}
    where, conditions = condition(common, searched)
    values |= conditions
    selected, others = _groups(telemetry, where, split, values)
    counted = _values(telemetry, where, split, values, selected.spans, others.spans)
    whole = next((one for one in counted if not one.place and not one.key), None)
    return SpanComparison(
        selected=selected,
        others=others,
        sampled_selected=whole.selected if whole else 0,
        sampled_others=whole.others if whole else 0,
        values=tuple(one for one in counted if one is not whole),
        least_ms=least_ms,
        window=window,
    )


def _bounded(telemetry: Telemetry, window: Window, service: str) -> Window:
    """The window, or its end if it holds more spans than can be read at once."""
    where, values = condition(SpanSearch(scope="all", service=service), window)
    (row,) = telemetry.query(f"SELECT toInt64(count()) AS spans FROM otel_traces WHERE {where}", values).to_pylist()
    share = MOST_READ / max(row["spans"], MOST_READ)
    return window if share == 1 else Window.last(window.seconds * share, until=window.end)


def _p95_ms(telemetry: Telemetry, window: Window, search: SpanSearch) -> float:
    where, values = condition(search, window)
    (row,) = telemetry.query(
        f"SELECT quantileTDigest(0.95)(Duration) / 1e6 AS p95 FROM otel_traces WHERE {where}", values
    ).to_pylist()
    return float(row["p95"]) if row["p95"] == row["p95"] else 0.0


def _groups(telemetry: Telemetry, where: str, split: Split, values: dict[str, Any]) -> tuple[Group, Group]:
    rows = telemetry.query(
        f"SELECT {_SPLITS[split]} AS selected, toInt64(count()) AS spans, "
        "toInt64(countIf(StatusCode = 'Error')) AS failed, quantilesTDigest(0.5, 0.95)(Duration) AS q, "
        f"q[1] / 1e6 AS p50_ms, q[2] / 1e6 AS p95_ms FROM otel_traces WHERE {where} GROUP BY selected",
        values,
    ).to_pylist()
    groups = {
        bool(row["selected"]): Group(
            spans=row["spans"], failed=row["failed"], p50_ms=row["p50_ms"], p95_ms=row["p95_ms"]
        )
        for row in rows
    }
    none = Group(spans=0, failed=0, p50_ms=0.0, p95_ms=0.0)
    return groups.get(True, none), groups.get(False, none)


def _values(
    telemetry: Telemetry, where: str, split: Split, values: dict[str, Any], selected: int, others: int
) -> list[ValueCount]:
    """Of each group at most about 20,000 spans; the first row, without a key, counts them all."""

    def pairs(place: str, column: str) -> str:
        return f"arrayMap((k, v) -> ('{place}', toString(k), substring(v, 1, 200)), mapKeys({column}), mapValues({column}))"

    rows = telemetry.query(
        "SELECT each.1 AS place, each.2 AS key, each.3 AS value, toInt64(countIf(selected)) AS selected_spans, "
        "toInt64(countIf(NOT selected)) AS other_spans FROM ("
        f"SELECT {_SPLITS[split]} AS selected, arrayJoin(arrayDistinct(arrayConcat("
        "[('', '', ''), ('', 'service', toString(ServiceName)), ('', 'operation', toString(SpanName)), "
        "('', 'message', substring(StatusMessage, 1, 200))], "
        f"{pairs('span', 'SpanAttributes')}, {pairs('resource', 'ResourceAttributes')}))) AS each FROM otel_traces "
        f"WHERE {where} AND cityHash64(Timestamp, Duration) % if({_SPLITS[split]}, {{of_selected:UInt32}}, "
        "{of_others:UInt32}) = 0) GROUP BY place, key, value "
        "HAVING (place = '' AND key = '') OR greatest(selected_spans, other_spans) >= {rarest:UInt32} "
        "ORDER BY place = '' AND key = '' DESC, abs(selected_spans / {selected_sample:Float64} - "
        "other_spans / {other_sample:Float64}) DESC, place, key, value LIMIT {most:UInt32}",
        values
        | {
            "of_selected": max(1, -(-selected // MOST_SAMPLED)),
            "of_others": max(1, -(-others // MOST_SAMPLED)),
            "selected_sample": float(max(1, min(selected, MOST_SAMPLED))),
            "other_sample": float(max(1, min(others, MOST_SAMPLED))),
            "rarest": RAREST,
            "most": MOST_VALUES,
        },
    ).to_pylist()
    return [
        ValueCount(
            place=row["place"],
            key=row["key"],
            value=row["value"],
            selected=row["selected_spans"],
            others=row["other_spans"],
        )
        for row in rows
    ]
