"""Whether something of a segment is in the store already, by a sample of its rows.

An INSERT that failed late may have stored one of its days, or the rows but not their roll-ups. Such a segment must be
sent again whole, under its own token; only one of which nothing is stored may be divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from collectors.ingest_log.attributes import MESSAGES
from watchkeeper.store.presence import count_of

SAMPLE: Final = 200  # rows that are looked for
MOST_REQUESTS: Final = 50  # requests that they are taken from, evenly
ROWS_OF_REQUEST: Final = 4  # rows of one request, evenly

Key = tuple[str | int, str | int]


def presence_queries(database: str, signal: str, requests: Sequence[bytes], kinds: Sequence[str]) -> list[str]:
    """SELECTs that each count rows of a sample; empty if there is nothing to look for."""
    keys: dict[str, list[Key]] = {}
    for kind, key in _sample(signal, requests):
        keys.setdefault(kind, []).append(key)
    return [
        count_of(database, signal, rows, kind) for kind, rows in keys.items() if signal != "metrics" or kind in kinds
    ]


def _sample(signal: str, requests: Sequence[bytes]) -> list[tuple[str, Key]]:
    sample: list[tuple[str, Key]] = []
    for request in requests[:: max(1, len(requests) // MOST_REQUESTS)]:
        try:
            message = MESSAGES[signal].FromString(request)
        except DecodeError:
            continue
        rows = list(_rows(signal, message))
        sample += rows[:: max(1, len(rows) // ROWS_OF_REQUEST)]
        if len(sample) >= SAMPLE:
            break
    return sample


def _rows(signal: str, message: Any) -> Iterator[tuple[str, Key]]:
    """The kind (of metric points) and key of each row whose key the store can hold."""
    if signal == "traces":
        for span in (s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans):
            yield "", (span.trace_id.hex(), span.span_id.hex())
    elif signal == "logs":
        for log in (line for r in message.resource_logs for scope in r.scope_logs for line in scope.log_records):
            at = log.time_unix_nano or log.observed_time_unix_nano
            if 0 < at < 1 << 63 and log.body.WhichOneof("value") == "string_value":
                yield "", (at, log.body.string_value)
    else:
        for metric in (m for r in message.resource_metrics for scope in r.scope_metrics for m in scope.metrics):
            kind = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points if kind else ():
                if 0 < point.time_unix_nano < 1 << 63:
                    yield kind, (metric.name, point.time_unix_nano)
