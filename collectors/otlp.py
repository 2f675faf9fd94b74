"""OTLP requests: decode enough to be sure, append to the ingest log, and say what OTLP says.

Spans, points and records are never touched one by one here: the protobuf runtime validates a whole request,
and its bytes go to the log as they came.
"""

from __future__ import annotations

import base64
import json
import zlib
from concurrent.futures import Future
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from prometheus_client import Counter

from watchkeeper.errors import CollectorError, IngestLogError
from watchkeeper.ingest_log.attributes import MESSAGES, parse_flat
from watchkeeper.ingest_log.segments import IngestLog, OverloadedError

REQUESTS = Counter("watchkeeper_otlp_requests_total", "Export requests, by outcome.", ["signal", "outcome"])

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


class MalformedError(CollectorError):
    """The request is not what it says it is. Sending it again can't help."""


class TooLargeError(MalformedError):
    """The request is over the limit. Send smaller batches."""


def unzip(body: bytes, limit: int) -> bytes:
    """Gunzip up to `limit` bytes, so that a small body can't become a huge one."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedError(f"the body is not gzip, though Content-Encoding says so: {error}") from error
    if len(plain) > limit:
        raise TooLargeError(f"the request is over {limit >> 20} MiB unzipped; send smaller batches")
    if not inflater.eof:
        raise MalformedError("the gzip body is cut short")
    return plain


def from_json(signal: str, body: bytes) -> bytes:
    """OTLP/JSON (ids in hex, enums as numbers) to protobuf bytes."""
    try:
        tree = json.loads(body)
        if not isinstance(tree, dict):
            raise MalformedError("the JSON body must be an object, as OTLP/JSON defines it")
        message = json_format.ParseDict(_ids_to_base64(tree), MESSAGES[signal](), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise MalformedError(f"the body is not OTLP/JSON for {signal}: {error}") from error
    return bytes(message.SerializeToString())


def _ids_to_base64(tree: Any) -> Any:
    """OTLP/JSON writes ids in hex where protobuf's own JSON form has base64."""
    if isinstance(tree, list):
        return [_ids_to_base64(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode()
        if key in _IDS and isinstance(value, str)
        else _ids_to_base64(value)
        for key, value in tree.items()
    }


def accept(log: IngestLog, signal: str, body: bytes) -> Future[None] | None:
    """Validate one serialised export request and append it; the future is done when it is on disk.

    None for an empty request, which is fine and stored nowhere.

    Raises:
        MalformedError: not a request of this signal.
        OverloadedError: the backlog is full; try again later.
        IngestLogError: the disk failed.
    """
    if not body:
        return None
    try:
        message, body = parse_flat(signal, body)
    except DecodeError as error:
        raise MalformedError(f"the body is not an OTLP {signal} request in protobuf") from error
    done = log.append(signal, body, _kinds(message) if signal == "metrics" else frozenset())
    REQUESTS.labels(signal, "accepted").inc()
    return done


def count_refusal(signal: str, error: CollectorError | IngestLogError) -> None:
    """Count a request that was not acked, by why."""
    match error:
        case TooLargeError():
            outcome = "too_large"
        case MalformedError():
            outcome = "malformed"
        case OverloadedError():
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


def _kinds(request: Any) -> frozenset[str]:
    """Which kinds of metric a request holds, so that the loader runs no INSERT in vain."""
    return frozenset(
        metric.WhichOneof("data") or "gauge"
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
