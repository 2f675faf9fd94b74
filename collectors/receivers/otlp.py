"""OTLP requests: validate them, append them to the ingest log, and answer as OTLP specifies."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from prometheus_client import Counter

from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.segments import IngestLog, OverloadedError
from collectors.receivers.otlp_canonical import LARGE, ONE_LARGE, canonical
from collectors.receivers.otlp_json import FromJson, from_json
from collectors.receivers.otlp_limits import Limits
from collectors.receivers.rejections import BusyError, MalformedError, TooFastError, TooLargeError, UnsupportedError
from watchkeeper.errors import CollectorError, IngestLogError

__all__ = ["Intake", "MalformedError", "Taken", "TooLargeError", "count_refusal", "is_valid", "response"]

REQUESTS = Counter("watchkeeper_otlp_requests_total", "Export requests, by outcome.", ["signal", "outcome"])
REJECTED = Counter("watchkeeper_otlp_rejected_total", "Rows of accepted requests that were left out.", ["signal"])

_RESPONSES: Final[dict[str, tuple[Any, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A request that was taken.

    Args:
        done: is done when the request is on disk; None for an empty request, which is stored nowhere.
        rejected: how many of its rows were left out.
        message: what was changed or left out and why; empty if nothing was.
    """

    done: Future[None] | None
    rejected: int = 0
    message: str = ""

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the request is on disk.

        Raises:
            IngestLogError: the disk failed; send the request again.
            TimeoutError: it was not written within `timeout_s`.
        """
        if self.done is not None:
            self.done.result(timeout_s)


class Intake:
    """Takes export requests into the ingest log."""

    def __init__(self, log: IngestLog, limits: Limits) -> None:
        self._log = log
        self._limits = limits

    def take(self, signal: str, body: bytes, *, is_json: bool = False, sender: str = "") -> Taken:
        """Validate one export request and append it; `sender` names who sent it, for messages to humans.

        Raises:
            MalformedError: not a request of this signal, or nothing of it can be stored.
            TooLargeError: it would become too much.
            OverloadedError: the backlog is full; try again later.
            IngestLogError: the disk failed.
        """
        rejected, notes, payload = 0, "", body
        if is_json:
            read = self._from_json(signal, body)
            rejected, notes, payload = read.rejected, read.message, read.body
        if not payload:
            return Taken(done=None, rejected=rejected, message=notes)
        request = canonical(signal, payload, self._limits, time.time_ns())
        full_sender = f"{sender} service.name={request.service}" if sender else request.service
        done = self._log.append(signal, request.body, request.kinds, sender=full_sender, received=payload)
        rejected += request.rejected
        REQUESTS.labels(signal, "accepted").inc()
        REJECTED.labels(signal).inc(rejected)
        return Taken(done=done, rejected=rejected, message="; ".join(filter(None, (notes, request.message))))

    @staticmethod
    def _from_json(signal: str, body: bytes) -> FromJson:
        with ONE_LARGE if len(body) >= LARGE else nullcontext():
            return from_json(signal, body)


def response(signal: str, taken: Taken) -> Any:
    """What OTLP answers: nothing, or a partial success with what was left out or changed."""
    message, count_name = _RESPONSES[signal]
    answer = message()
    if taken.rejected or taken.message:
        setattr(answer.partial_success, count_name, taken.rejected)
        answer.partial_success.error_message = taken.message
    return answer


def count_refusal(signal: str, error: CollectorError | IngestLogError) -> None:
    """Count a request that was not acked, by why."""
    match error:
        case TooLargeError():
            outcome = "too_large"
        case UnsupportedError():
            outcome = "unsupported"
        case MalformedError():
            outcome = "malformed"
        case TooFastError():
            outcome = "too_fast"
        case OverloadedError() | BusyError():
            outcome = "overloaded"
        case _:
            outcome = "failed"
    REQUESTS.labels(signal, outcome).inc()


def is_valid(signal: str, body: bytes) -> bool:
    """Whether a record found after a crash is a whole request."""
    try:
        MESSAGES[signal].FromString(body)
    except DecodeError:
        return False
    return True
