"""Array and key-value attributes, to JSON text: the store's maps hold text only.

They are rare, and finding them must cost nothing per attribute in Python. So requests are parsed with OTLP's
own schema but for one thing: an `AnyValue` that is an array or a key-value list becomes a message that lacks a
required field, and the protobuf runtime says in C whether a request holds one. Only such a request is
decoded as it is and rewritten.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

MESSAGES: Final[Mapping[str, Any]] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
_FILES: Final = (
    common_pb2,
    resource_pb2,
    trace_pb2,
    logs_pb2,
    metrics_pb2,
    trace_service_pb2,
    logs_service_pb2,
    metrics_service_pb2,
)
_LARGEST_FIELD_NUMBER: Final = (1 << 29) - 1


def _flat_messages() -> dict[str, Any]:
    """OTLP's requests, with `AnyValue.array_value` and `.kvlist_value` of a type that is never complete."""
    pool = descriptor_pool.DescriptorPool()
    nested = FileDescriptorProto(name="nested.proto", package="watchkeeper", syntax="proto2")
    nested.message_type.add(name="Nested").field.add(
        name="never",
        number=_LARGEST_FIELD_NUMBER,
        label=FieldDescriptorProto.LABEL_REQUIRED,
        type=FieldDescriptorProto.TYPE_BOOL,
    )
    pool.AddSerializedFile(nested.SerializeToString())
    for module in _FILES:
        file = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        if module is common_pb2:
            file.dependency.append(nested.name)
            (any_value,) = (message for message in file.message_type if message.name == "AnyValue")
            for field in any_value.field:
                if field.name in ("array_value", "kvlist_value"):
                    field.type_name = ".watchkeeper.Nested"
        pool.AddSerializedFile(file.SerializeToString())
    return {
        signal: message_factory.GetMessageClass(pool.FindMessageTypeByName(message.DESCRIPTOR.full_name))
        for signal, message in MESSAGES.items()
    }


_FLAT: Final[Mapping[str, Any]] = _flat_messages()


def parse_flat(signal: str, payload: bytes) -> tuple[Any, bytes]:
    """A decoded export request, and its bytes with every nested attribute turned into JSON text.

    The message is for looking around in; where attributes were nested, it shows them as text.

    Raises:
        google.protobuf.message.DecodeError: not a request of this signal.
    """
    message = _FLAT[signal].FromString(payload)
    if message.IsInitialized():
        return message, payload
    message = MESSAGES[signal].FromString(payload)
    _flatten(message)
    return message, bytes(message.SerializeToString())


def _flatten(message: Any) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        items = value if descriptor.is_repeated else [value]
        if descriptor.message_type.name == "AnyValue":
            for item in items:
                if item.WhichOneof("value") in ("array_value", "kvlist_value"):
                    item.string_value = json.dumps(_plain(item), ensure_ascii=False)
        else:
            for item in items:
                _flatten(item)


def _plain(value: Any) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case None:
            return None
        case kind:
            return getattr(value, kind)
