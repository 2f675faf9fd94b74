"""Rows whose time lies outside of what the store keeps: found by a sample, so that their sender can be named.

The INSERT leaves them out (watchkeeper/store/otlp.py). To count them all would cost as much as loading; a clock that is
off, or a sender that replays last year, shows in any of its requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Self

from google.protobuf.message import DecodeError

from collectors.ingest_log.attributes import MESSAGES
from watchkeeper.store.otlp import Destination, kept_ns

SAMPLE: Final = 3  # requests of a segment that are looked at
MOST_ITEMS: Final = 2000  # of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The times that the store keeps, Unix nanoseconds."""

    first_ns: int
    last_ns: int
    retention_days: float

    @classmethod
    def around(cls, received_ns: int, into: Destination) -> Self | None:
        """What is kept of what came in at `received_ns`; None without a limit."""
        if into.retention_days <= 0:
            return None
        first, last = kept_ns(received_ns, into)
        return cls(first_ns=first, last_ns=last, retention_days=into.retention_days)

    @property
    def reason(self) -> str:
        return (
            f"its times lie outside of what is kept (store.retention_days {self.retention_days:g}, "
            "ingest.max_ahead_hours), so its rows are not stored; check the sender's clock and its unit of time, "
            "which must be nanoseconds"
        )


def out_of_range(signal: str, requests: Sequence[bytes], kept: Kept) -> Iterator[tuple[int, int, str]]:
    """Index, number of rows and service of each request of a sample that has rows outside of `kept`."""
    for index in range(0, len(requests), max(1, -(-len(requests) // SAMPLE))):
        try:
            message = MESSAGES[signal].FromString(requests[index])
        except DecodeError:
            continue
        count, service = 0, "unknown_service"
        for at, resource in islice(_times(signal, message), MOST_ITEMS):
            if at and not kept.first_ns <= at <= kept.last_ns:
                count += 1
                service = _service(resource)
        if count:
            yield index, count, service


def _times(signal: str, message: Any) -> Iterator[tuple[int, Any]]:
    match signal:
        case "traces":
            for resource in message.resource_spans:
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    yield span.start_time_unix_nano or span.end_time_unix_nano, resource
        case "logs":
            for resource in message.resource_logs:
                for line in (line for scope in resource.scope_logs for line in scope.log_records):
                    yield line.time_unix_nano or line.observed_time_unix_nano, resource
        case _:
            for resource in message.resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    kind = metric.WhichOneof("data")
                    for point in getattr(metric, kind).data_points if kind else ():
                        yield point.time_unix_nano, resource


def _service(resource: Any) -> str:
    names = [pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"]
    return names[-1] if names and names[-1] else "unknown_service"
