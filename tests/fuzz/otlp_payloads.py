"""OTLP requests, good ones and damaged ones, from a seed: protobuf, JSON, and what they are packed in."""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
import zlib
from dataclasses import dataclass
from typing import Any, Final

from backports import zstd
from google.protobuf import json_format
from wire import damage, tree

from collectors.ingest_log.attributes import MESSAGES

SIGNALS: Final = ("traces", "logs", "metrics")
IDS: Final = ("traceId", "spanId", "parentSpanId")
# What a JSON value may be instead.
ODD_VALUES: Final = (
    None, True, -1, 0, 1.5, 1e308, 10**30, -(10**30), "", "x", "NaN", "Infinity", "-1", "1e400", "9" * 5000, [], {},
    [[]], [None], {"a": {}}, "\ud83d", "half \udc00 pair", "\x00", "2026-01-01T00:00:00Z", float("nan"), float("inf"),
    "00" * 16, "zz" * 16, "Cvdlt9b1RaeOFd4IhN8xlg==", 2**63, 2**64, "18446744073709551616",
)  # fmt: skip


@dataclass(frozen=True)
class Payload:
    """A request to one of the receivers.

    Args:
        signal: which path or service it goes to.
        body: as it is sent.
        kind: its Content-Type.
        encoding: its Content-Encoding.
    """

    signal: str
    body: bytes
    kind: str = "application/x-protobuf"
    encoding: str = ""


def good(signal: str, dice: random.Random) -> Any:
    """A request with a bit of everything."""
    now = time.time_ns() - dice.randint(0, 10**9)
    request = MESSAGES[signal]()
    for _ in range(dice.randint(1, 2)):
        resource = getattr(request, f"resource_{'spans' if signal == 'traces' else signal}").add(schema_url="https://s")
        _attributes(resource.resource.attributes, dice)
        resource.resource.attributes.add(key="service.name").value.string_value = dice.choice(("cart", "shop"))
        resource.resource.dropped_attributes_count = 1
        for _ in range(dice.randint(1, 2)):
            scope = getattr(resource, f"scope_{'spans' if signal == 'traces' else signal}").add()
            scope.scope.name, scope.scope.version = "tests", "1"
            _attributes(scope.scope.attributes, dice)
            for _ in range(dice.randint(1, 3)):
                _FILL[signal](scope, now, dice)
    return request


def _attributes(target: Any, dice: random.Random) -> None:
    for number in range(dice.randint(0, 3)):
        value = target.add(key=f"key.{number % 2}").value
        match dice.randrange(7):
            case 0:
                value.int_value = dice.randint(-(2**63), 2**63 - 1)
            case 1:
                value.bool_value = True
            case 2:
                value.double_value = dice.choice((0.5, float("nan"), float("inf"), 1e-320))
            case 3:
                value.bytes_value = dice.randbytes(5)
            case 4:
                value.array_value.values.add().string_value = "in a list"
                value.array_value.values.add().kvlist_value.values.add(key="k").value.int_value = 1
            case _:
                value.string_value = "text " + "é" * dice.randint(0, 9)


def _span(scope: Any, now: int, dice: random.Random) -> None:
    span = scope.spans.add(
        name="GET /", kind=dice.randint(0, 5), trace_id=dice.randbytes(16), span_id=dice.randbytes(8),
        trace_state="a=b", parent_span_id=dice.randbytes(8), flags=1,
        start_time_unix_nano=now - 10**6, end_time_unix_nano=now,
    )  # fmt: skip
    _attributes(span.attributes, dice)
    event = span.events.add(name="exception", time_unix_nano=now)
    _attributes(event.attributes, dice)
    link = span.links.add(trace_id=dice.randbytes(16), span_id=dice.randbytes(8))
    _attributes(link.attributes, dice)
    span.status.code, span.status.message = dice.randint(0, 2), "status"


def _record(scope: Any, now: int, dice: random.Random) -> None:
    record = scope.log_records.add(
        time_unix_nano=dice.choice((0, now)), observed_time_unix_nano=dice.choice((0, now)), severity_number=9,
        severity_text="INFO", trace_id=dice.randbytes(16), span_id=dice.randbytes(8), flags=1, event_name="event",
    )  # fmt: skip
    record.body.string_value = "a line"
    _attributes(record.attributes, dice)


def _metric(scope: Any, now: int, dice: random.Random) -> None:
    metric = scope.metrics.add(name="m", description="what", unit="s")
    kind = dice.choice(("gauge", "sum", "histogram", "exponential_histogram", "summary"))
    data = getattr(metric, kind)
    if kind not in ("gauge", "summary"):
        data.aggregation_temporality = 2
    point = data.data_points.add(time_unix_nano=now, start_time_unix_nano=now - 10**9)
    _attributes(point.attributes, dice)
    match kind:
        case "gauge" | "sum":
            if dice.random() < 0.8:
                setattr(point, *dice.choice((("as_double", 1.5), ("as_int", -3))))
            exemplar = point.exemplars.add(time_unix_nano=now, as_double=1, trace_id=b"t" * 16)
            _attributes(exemplar.filtered_attributes, dice)
        case "histogram":
            point.bucket_counts.extend([1, 2, 3])
            point.explicit_bounds.extend([0.5, 1.5])
            point.count, point.sum, point.min, point.max = 6, 6.5, 0.1, 3
        case "exponential_histogram":
            point.scale, point.zero_count, point.count = -2, 1, 4
            point.positive.offset = -5
            point.positive.bucket_counts.extend([1, 300])
            point.negative.bucket_counts.extend([2])
        case _:
            point.count, point.sum = 3, 4
            point.quantile_values.add(quantile=0.5, value=1)


_FILL: Final = {"traces": _span, "logs": _record, "metrics": _metric}


def protobuf(signal: str, dice: random.Random) -> bytes:
    """A damaged request in protobuf."""
    message = tree(good(signal, dice))
    for _ in range(dice.choice((0, 1, 1, 1, 2, 4))):
        damage(message, dice)
    body = message.encode()
    return _scratched(body, dice) if dice.random() < 0.15 else body


def as_json(signal: str, dice: random.Random) -> bytes:
    """A damaged request in OTLP/JSON."""
    whole = json_format.MessageToDict(good(signal, dice), use_integers_for_enums=True)
    _ids_in_hex(whole)
    for _ in range(dice.choice((0, 1, 1, 2))):
        _change(whole, dice)
    text = json.dumps(whole, ensure_ascii=dice.random() < 0.7)
    body = text.encode("utf-8", "surrogatepass")
    if dice.random() < 0.1:
        body = body.replace(b"text", dice.choice((b"\\ud83d", b"\\uDC00x", b"caf\xe9", b"\xed\xa0\xbd", b"\\u0000")))
    return _scratched(body, dice) if dice.random() < 0.15 else body


def _ids_in_hex(part: Any) -> None:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key in IDS:
            part[key] = base64.b64decode(value).hex()
        elif isinstance(value, dict | list):
            _ids_in_hex(value)


def _change(whole: Any, dice: random.Random) -> None:
    places: list[tuple[Any, Any]] = []
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            places.append((part, key))
            if isinstance(value, dict | list):
                waiting.append(value)
    if not places:
        return
    part, key = dice.choice(places)
    match dice.randrange(5):
        case 0 if isinstance(part, dict):
            part[dice.choice(("", "\udc00", "unknown", "traceId", "asInt", "kind", "values"))] = part.pop(key)
        case 1 if isinstance(part, list):
            part.append(part[key])
        case 2 if isinstance(part, dict):
            del part[key]
        case _:
            part[key] = dice.choice(ODD_VALUES)


def _scratched(body: bytes, dice: random.Random) -> bytes:
    """Bytes changed, cut, repeated or put in."""
    data = bytearray(body)
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(data))
        match dice.randrange(4):
            case 0 if at < len(data):
                data[at] = dice.randrange(256)
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                data[at:at] = dice.randbytes(dice.randint(1, 9))
            case _:
                del data[max(at, 1) :]
    return bytes(data)


def packed(body: bytes, dice: random.Random) -> tuple[bytes, str]:
    """The body in a Content-Encoding, well or badly."""
    encoding = dice.choice(("gzip", "gzip", "x-gzip", "deflate", "zstd", "zstd", "br", "GZIP", "identity"))
    pack = {"deflate": zlib.compress, "zstd": zstd.compress, "br": bytes, "identity": bytes}.get(
        encoding, gzip.compress
    )
    match dice.randrange(8):
        case 0:
            cut = dice.randint(0, len(body))
            return pack(body[:cut]) + pack(body[cut:]), encoding
        case 1:
            return pack(body)[: -dice.randint(1, 12)], encoding
        case 2:
            return pack(body) + dice.choice((b"garbage", b"\x00", b"\x1f\x8b")), encoding
        case 3:
            return _scratched(pack(body), dice), encoding
        case _:
            return pack(body), encoding


def payload(seed: int) -> Payload:
    """One request of the fuzz."""
    dice = random.Random(seed)
    signal = dice.choice(SIGNALS)
    if dice.random() < 0.6:
        body, kind = protobuf(signal, dice), "application/x-protobuf"
    else:
        body, kind = as_json(signal, dice), "application/json"
    if dice.random() < 0.02:
        kind = dice.choice(
            ("", "text/plain", "application/json; charset=utf-8", "application/x-protobuf", "application/json")
        )
    if dice.random() < 0.3:
        body, encoding = packed(body, dice)
        return Payload(signal, body, kind, encoding)
    return Payload(signal, body, kind)
