"""Array and key-value attributes, to JSON text: the store's maps hold text only."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from watchkeeper.store.otlp_schema import REQUESTS as MESSAGES

__all__ = ["FILES", "MESSAGES", "json_text"]

FILES: Final = (
    common_pb2,
    resource_pb2,
    trace_pb2,
    logs_pb2,
    metrics_pb2,
    trace_service_pb2,
    logs_service_pb2,
    metrics_service_pb2,
)


def json_text(value: Any, left: list[int]) -> str:
    """The text of an `AnyValue` that is an array or a key-value list.

    Args:
        value: the AnyValue.
        left: how many values may still be turned into text; counted down.

    Raises:
        OverflowError: it holds more than that.
    """
    return json.dumps(_plain(value, left), ensure_ascii=False)


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise OverflowError
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item, left) for item in value.array_value.values]
        case "kvlist_value":
            return {_text(pair.key): _plain(pair.value, left) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "string_value":
            return _text(value.string_value)
        case None:
            return None
        case kind:
            return getattr(value, kind)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
