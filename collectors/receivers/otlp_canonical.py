"""One export request, as it goes into the ingest log: what is in there, the store can take.

Protobuf's runtime accepts more than the store's decoder does: fields of another wire type, unknown groups, numbers
in more bytes than they need, messages in pieces. So nothing goes to the log as it came. A request is looked over as a
whole (otlp_survey.py), decoded, and written anew by the runtime; spans, records and points are touched
one by one only where something is wrong with some of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from collectors.receivers.otlp_limits import Limits
from collectors.receivers.otlp_schemas import CANONICAL
from collectors.receivers.otlp_survey import ROWS, Census, Survey, count, survey
from collectors.receivers.otlp_texts import RepairedTexts, repair
from collectors.receivers.otlp_times import Judged, Window, are_fine, check_days, judge, mark_empty
from collectors.receivers.rejections import MalformedError, TooLargeError

# Decoded, a request takes a multiple of its bytes: of those above this, one is decoded at a time.
LARGE: Final = 1 << 20
ONE_LARGE: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """A request that can be stored.

    Args:
        body: the serialised request.
        kinds: which kinds of metric it holds.
        service: the service.name of its first resource; empty if that has none.
        rejected: how many rows were left out.
        message: what was changed or left out and why, for the sender; empty if nothing was.
    """

    body: bytes
    kinds: frozenset[str]
    service: str = ""
    rejected: int = 0
    message: str = ""


def canonical(signal: str, payload: bytes, limits: Limits, now_ns: int) -> Canonical:
    """Validate one serialised export request and write it anew.

    Args:
        signal: traces, metrics or logs.
        payload: the serialised request.
        limits: what it may become.
        now_ns: when it arrived, in nanoseconds since 1970.

    Raises:
        MalformedError: not a request of this signal, or all its rows were rejected.
        TooLargeError: it would become too much.
    """
    try:
        if len(payload) < LARGE:
            return _canonical(signal, payload, limits, now_ns)
        with ONE_LARGE:
            return _canonical(signal, payload, limits, now_ns)
    except DecodeError as error:
        raise MalformedError(f"the body is not an OTLP {signal} request in protobuf") from error


def _canonical(signal: str, payload: bytes, limits: Limits, now_ns: int) -> Canonical:
    census = count(signal, payload, limits)
    try:
        seen = survey(signal, payload)
        repaired = RepairedTexts()
    except DecodeError:
        # Perhaps a string is not UTF-8; if it is more than that, this raises, too.
        payload, repaired = repair(signal, payload, limits)
        seen = survey(signal, payload)
    if seen.has_nested or census.largest > limits.value_bytes:
        payload, repaired = _repair_again(signal, payload, limits, repaired)
    message = CANONICAL[signal].FromString(payload)
    if seen.has_unknown:
        message.DiscardUnknownFields()
    may_be_long = len(payload) > limits.value_bytes // 4
    if may_be_long or census.rows * len(payload) > limits.expanded_bytes:
        parts = _parts(signal, message)
        if any(part.longest > limits.value_bytes // 4 for part in parts):  # characters, of up to four bytes
            payload, repaired = _repair_again(signal, payload, limits, repaired)
            message = CANONICAL[signal].FromString(payload)
            message.DiscardUnknownFields()
            parts = _parts(signal, message)
        _check_expansion(parts, len(payload), limits)
    judged = _judge(signal, message, census, seen, Window.at(now_ns, limits))
    notes = "; ".join(filter(None, (judged.message(signal), repaired.message)))
    if judged.rejected and judged.rejected == census.rows:
        raise MalformedError(f"nothing was accepted: {notes}")
    # In one order of keys: the store tells series apart by their attributes as a map, in which the order counts.
    body = message.SerializeToString(deterministic=True)
    service = _service(signal, message)
    return Canonical(body=body, kinds=seen.kinds, service=service, rejected=judged.rejected, message=notes)


def _service(signal: str, message: Any) -> str:
    for resource in getattr(message, ROWS[signal][0][0]):
        attributes = resource.resource.attributes
        return str(attributes["service.name"].string_value) if "service.name" in attributes else ""
    return ""


def _repair_again(signal: str, payload: bytes, limits: Limits, before: RepairedTexts) -> tuple[bytes, RepairedTexts]:
    payload, repaired = repair(signal, payload, limits)
    repaired.replaced += before.replaced
    repaired.shortened += before.shortened
    return payload, repaired


def _judge(signal: str, message: Any, census: Census, seen: Survey, window: Window) -> Judged:
    if census.numbers > seen.values:
        mark_empty(message)
    check_days(seen.times[0], window)
    if are_fine(signal, census.rows, seen.times, window):
        return Judged()
    return judge(signal, message, window)


@dataclass(frozen=True, slots=True)
class _Part:
    """A scope or a metric: what stands beside its rows and is repeated on each, in bytes, and how many they are."""

    longest: int
    repeated: int
    rows: int


def _parts(signal: str, message: Any) -> list[_Part]:
    resources, scopes, rows = ROWS[signal][0][:3]
    parts = []
    for resource in getattr(message, resources):
        of_resource = resource.resource.ByteSize() + len(resource.schema_url)
        for scope in getattr(resource, scopes):
            of_scope = scope.scope.ByteSize() + len(scope.schema_url)
            if signal == "metrics":
                parts += [_metric_part(metric, of_resource, of_scope) for metric in scope.metrics]
            else:
                parts.append(_Part(max(of_resource, of_scope), of_resource + of_scope, len(getattr(scope, rows))))
    return parts


def _metric_part(metric: Any, of_resource: int, of_scope: int) -> _Part:
    texts = [len(metric.name), len(metric.description), len(metric.unit)]
    data = metric.WhichOneof("data")
    points = len(getattr(metric, data).data_points) if data else 0
    return _Part(max(of_resource, of_scope, *texts), of_resource + of_scope + sum(texts), points)


def _check_expansion(parts: list[_Part], size: int, limits: Limits) -> None:
    """Refuse what would become too much once resource and scope are repeated on every row."""
    expanded = size + sum(part.repeated * part.rows for part in parts)
    if expanded > limits.expanded_bytes:
        worst = max(parts, key=lambda part: part.repeated * part.rows)
        raise TooLargeError(
            f"the request would become {expanded >> 20} MiB of rows, and {limits.expanded_bytes >> 20} MiB are allowed "
            f"(ingest.max_expanded_mib): {worst.repeated:,} bytes of resource and scope are repeated on each of "
            f"{worst.rows:,} rows; send fewer at once, or smaller resource attributes"
        )
