"""Whether something of a segment is in the store already, by a sample of its rows.

An INSERT that failed late may have stored one of its days, or the rows but not their roll-ups. Such a segment must be
sent again whole, under its own token; only one of which nothing is stored may be divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from collectors.ingest_log.attributes import MESSAGES
from watchkeeper.store.otlp import text_literal

SAMPLE: Final = 200
_KEYS: Final = {
    "traces": ("otel_traces", "(TraceId, SpanId)"),
    "logs": ("otel_logs", "(toUnixTimestamp64Nano(Timestamp), Body)"),
}


def presence_queries(database: str, signal: str, requests: Sequence[bytes], kinds: Sequence[str]) -> list[str]:
    """SELECTs that each count rows of a sample; empty if there is nothing to look for."""
    rows = _sample(signal, requests)
    if not rows:
        return []
    if signal in _KEYS:
        table, key = _KEYS[signal]
        return [_count(database, table, key, [row for _, row in rows])]
    by_kind = {kind: [row for found, row in rows if found == kind] for kind in kinds}
    key = "(MetricName, toUnixTimestamp64Nano(TimeUnix))"
    return [_count(database, f"otel_metrics_{kind}", key, found) for kind, found in by_kind.items() if found]


def _count(database: str, table: str, key: str, rows: Sequence[str]) -> str:
    found = f"{key} IN ({', '.join(rows)})"
    return f"SELECT count() FROM {database}.{table} WHERE {found} FORMAT TabSeparated"  # noqa: S608 - quoted


def _sample(signal: str, requests: Sequence[bytes]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    step = max(1, len(requests) // 50)
    for request in requests[::step]:
        try:
            message = MESSAGES[signal].FromString(request)
        except DecodeError:
            continue
        rows = list(_rows(signal, message))
        found += rows[:: max(1, len(rows) // 4)]
        if len(found) >= SAMPLE:
            break
    return found


def _rows(signal: str, message: Any) -> Iterator[tuple[str, str]]:
    if signal == "traces":
        for span in (s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans):
            yield "", f"('{span.trace_id.hex()}', '{span.span_id.hex()}')"
    elif signal == "logs":
        for log in (line for r in message.resource_logs for scope in r.scope_logs for line in scope.log_records):
            at = log.time_unix_nano or log.observed_time_unix_nano
            if 0 < at < 1 << 63 and log.body.WhichOneof("value") == "string_value":
                yield "", f"({at}, {text_literal(log.body.string_value)})"
    else:
        for metric in (m for r in message.resource_metrics for scope in r.scope_metrics for m in scope.metrics):
            kind = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points if kind else ():
                if 0 < point.time_unix_nano < 1 << 63:
                    yield kind, f"({text_literal(metric.name)}, {point.time_unix_nano})"
