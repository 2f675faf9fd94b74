"""What the live path asks of the store: roll-ups, and the few raw rows that no roll-up holds.

Every query names the window; none reads spans that succeeded, except a bounded sample that shows which
service answers at which address.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from rca.case import F64, Flows, Heartbeats, Links, LogLines, Series, Text, Unanswered, codes, joined, text
from rca.levels import groups
from rca.live.instances import Served
from rca.live.metered import metered_flows, metered_links
from rca.series_changes import WHOLE, concept
from watchkeeper.metric_names import is_spare
from watchkeeper.store import diagnosis_queries as sql
from watchkeeper.vocabulary import Window


class Reader(Protocol):
    """The part of the store's `Telemetry` that a diagnosis needs."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...
    def red_levels(self, window: Window) -> pa.Table: ...
    def edges(self, window: Window, step_s: int = 5) -> pa.Table: ...
    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table: ...


STEP_S = 5  # of the store's roll-ups
ORDINARY = 0.9  # a quantile of the gaps between reports: the longest of ten is a hiccup
FEWEST_BEATS = 3  # two gaps: with one, nobody knows a period
MOST_BEHIND_S = 60.0  # how much of the newest calls is joined here at most
READ_AT_ONCE_S = 60.0  # more of a large installation at once would be too much for a small store


def seconds(column: pa.ChunkedArray) -> F64:
    """A column of timestamps, or of Unix seconds, as Unix seconds."""
    if not pa.types.is_timestamp(column.type):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.float64) / 1e6


def numbers(table: pa.Table, name: str) -> F64:
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def words(table: pa.Table, name: str) -> Text:
    return text(table.column(name))


def span_times(start: float, end: float, onset: float | None = None) -> dict[str, Any]:
    named = {"start": start, "end": end} | ({"onset": onset} if onset is not None else {})
    return {name: datetime.fromtimestamp(at, UTC) for name, at in named.items()}


def flows(reader: Reader, window: Window) -> Flows:
    """Served requests per service and operation, by bucket of their end."""
    red = pa.concat_tables([reader.red_levels(part) for part in window.parts(READ_AT_ONCE_S)])
    calls = numbers(red, "calls")
    return Flows(
        time=seconds(red.column("bucket")),
        node=words(red, "service"),
        operation=words(red, "operation"),
        calls=calls,
        errors=numbers(red, "errors"),
        busy=np.nan_to_num(numbers(red, "mean_ms")) * calls / 1000,
        step=float(STEP_S),
    )


def addresses(reader: Reader, start: float, end: float) -> tuple[dict[str, str], dict[str, float]]:
    """Who usually answers at each destination, and how long a call there usually takes in seconds."""
    table = reader.query(sql.ADDRESSES, span_times(start, end))
    owner: dict[str, str] = {}
    usual: dict[str, float] = {}
    for row in table.to_pylist():
        if row["destination"] not in owner:
            owner[row["destination"]] = row["service"]
            usual[row["service"]] = float(row["mean_s"])
    return owner, usual


def links(reader: Reader, window: Window, owner: Mapping[str, str], services: frozenset[str]) -> Links:
    """Calls by caller and callee. What a caller alone saw of a known service is dropped: `unanswered` has it.

    The roll-up joins windows that are complete, so it is some seconds behind the requests served; as long as the calls
    below them are missing, every caller would seem slow by itself. The newest calls are therefore joined here.
    """
    edges = reader.edges(window, STEP_S)
    callee, source = words(edges, "callee"), words(edges, "source")
    calls = numbers(edges, "calls")
    double = (source != "span") & np.array([name in owner or name in services for name in callee], dtype=bool)
    served = numbers(edges, "server_mean_ms") * calls / 1000
    served[source != "span"] = np.nan
    keep = ~double & (calls > 0)
    time = seconds(edges.column("bucket"))
    known = Links(
        time=time[keep],
        caller=words(edges, "caller")[keep],
        callee=callee[keep],
        calls=calls[keep],
        errors=numbers(edges, "errors")[keep],
        waited=(np.nan_to_num(numbers(edges, "client_mean_ms")) * calls / 1000)[keep],
        served=served[keep],
        step=float(STEP_S),
    )
    end = window.end.timestamp()
    begin = max(float(time.max()) + STEP_S if len(time) else 0.0, end - MOST_BEHIND_S)
    return joined(known, _newest(reader, begin, end, owner, services))


def _newest(reader: Reader, begin: float, end: float, owner: Mapping[str, str], services: frozenset[str]) -> Links:
    table = reader.query(sql.NEWEST_CALLS, {"begin": int(begin) // STEP_S * STEP_S, "end": math.ceil(end)})
    server, peer = words(table, "callee"), words(table, "peer")
    callee = text([name or owner.get(other, other) for name, other in zip(server, peer, strict=True)])
    caller, errors = words(table, "caller"), numbers(table, "errors")
    served = np.where(server == "", np.nan, numbers(table, "served"))
    known = np.array([name in services for name in callee], dtype=bool)
    keep = (callee != "") & (callee != caller) & ~((server == "") & known & (errors > 0))
    return Links(
        time=numbers(table, "bucket")[keep],
        caller=caller[keep],
        callee=callee[keep],
        calls=numbers(table, "calls")[keep],
        errors=errors[keep],
        waited=numbers(table, "waited")[keep],
        served=served[keep],
        step=float(STEP_S),
    )


def unanswered(
    reader: Reader,
    start: float,
    end: float,
    owner: Mapping[str, str],
    usual: Mapping[str, float],
    known: frozenset[str],
) -> Unanswered:
    """Calls without a reply, by the service that usually answers at their destination."""
    table = reader.query(sql.FAILED, span_times(start, end))
    destination = words(table, "destination")
    callee = text([owner.get(name, name if name in known else "") for name in destination])
    keep = callee != ""
    return Unanswered(
        caller=words(table, "caller")[keep],
        callee=callee[keep],
        calls=numbers(table, "calls")[keep],
        waited=numbers(table, "waited")[keep],
        usual=np.array([usual.get(name, np.nan) for name in callee[keep]], dtype=np.float64),
        refused=numbers(table, "refused")[keep],
        timed_out=numbers(table, "timed_out")[keep],
    )


def heartbeats(reader: Reader, start: float, end: float) -> Heartbeats:
    """When each service's metrics were heard of; its usual period is the longest of its ordinary gaps.

    A service may report in several ways (pushed, scraped), so that reports come in pairs: a median would be the short
    gap within a pair.
    """
    table = reader.query(sql.HEARTBEATS, span_times(start, end))
    code, names = codes(words(table, "service"))
    second = numbers(table, "second")
    node, last, period = [], [], []
    for service, rows in groups(code):
        beats = np.sort(second[rows])
        if len(beats) < FEWEST_BEATS:
            continue
        node.append(names[service][0])
        last.append(float(beats[-1]))
        period.append(float(np.quantile(np.diff(beats), ORDINARY)))
    return Heartbeats(
        node=text(node),
        last=np.array(last, dtype=np.float64),
        period=np.array(period, dtype=np.float64),
        horizon=float(second.max(initial=0.0)),
    )


def instances(reader: Reader, service: str, start: float, onset: float, end: float) -> Served:
    """What each instance of a service served, before and after the onset."""
    table = reader.query(sql.INSTANCES, span_times(start, end, onset) | {"service": service})
    return Served(
        instance=words(table, "instance"),
        operation=words(table, "operation"),
        late=numbers(table, "late") > 0,
        calls=numbers(table, "calls"),
        errors=numbers(table, "errors"),
        log_mean=numbers(table, "log_mean"),
        log_var=numbers(table, "log_var"),
        busy=numbers(table, "busy"),
        first=numbers(table, "first"),
        last=numbers(table, "last"),
    )


def series(reader: Reader, window: Window, also: frozenset[str] = frozenset()) -> Series:
    """Metrics that measure a resource, and those named in `also`; one series per service, metric and attributes.

    What is left of a resource is no use of it; the parts of what only adds up to something are added up.
    """
    table = reader.metric_series(window, STEP_S)
    metric = words(table, "metric")
    attributes = words(table, "attributes")
    measured: dict[tuple[str, str], str] = {}
    for name, details in set(zip(metric, attributes, strict=True)):
        complete = f"{name} {details}" if details not in ("", "{}") else name
        found = concept(complete)
        if name in also or (found is not None and not is_spare(name)):
            measured[name, details] = name if found is not None and found[0] in WHOLE else complete
    keep = np.array([pair in measured for pair in zip(metric, attributes, strict=True)], dtype=bool)
    shown = text([measured[pair] for pair in zip(metric[keep], attributes[keep], strict=True)])
    second = seconds(table.column("bucket"))[keep]
    added = pa.table({"t": second, "n": pa.array(words(table, "service")[keep]), "m": pa.array(shown)})
    added = added.append_column("v", pa.array(numbers(table, "value")[keep]))
    added = added.group_by(["t", "n", "m"], use_threads=False).aggregate([("v", "sum")])
    return Series(
        time=numbers(added, "t"), node=words(added, "n"), metric=words(added, "m"), value=numbers(added, "v_sum")
    )


def metered(reader: Reader, window: Window) -> tuple[Flows | None, Links | None]:
    """Requests served and made, by the metrics that count and time them, for a system of which there are no spans."""
    table = reader.metric_series(window, STEP_S)
    table = table.append_column("second", pa.array(seconds(table.column("bucket"))))
    served = metered_flows(table, float(STEP_S))
    return served, metered_links(table, float(STEP_S), served)


def log_lines(reader: Reader, start: float, onset: float, end: float) -> LogLines:
    """Warnings and worse, by template: rate before the onset, count since."""
    table = reader.query(sql.LOGS, span_times(start, end, onset))
    return LogLines(
        node=words(table, "service"),
        template=words(table, "template"),
        severity=words(table, "severity"),
        before=numbers(table, "before") / max(onset - start, 1.0),
        after=numbers(table, "after"),
        sample=words(table, "sample"),
    )
