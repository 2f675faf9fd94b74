"""OTLP's own schema, as the engine reads it: proto text made from the descriptors of opentelemetry-proto.

It follows them field by field, but declares array and key-value attributes as bytes: those are rare, and are rewritten
to JSON text before they get here (collectors/ingest_log/attributes.py), so that the common case stays flat and fast.
Enums are numbers, and no field is optional: the engine would take that for a oneof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, NumberDataPoint

# The export request of each signal.
REQUESTS: Final[Mapping[str, Any]] = MappingProxyType(
    {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}
)
NESTED: Final = ("array_value", "kvlist_value")
_TYPES: Final = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in (
        *("double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64"),
        *("fixed32", "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes"),
    )
} | {FieldDescriptor.TYPE_ENUM: "int32"}


def proto_text(signal: str) -> str:
    """The schema of one signal's requests; the outermost message is `Request`."""
    request = REQUESTS[signal].DESCRIPTOR
    messages = {request.full_name: request}
    for message in _held_by(request):
        messages[message.full_name] = message
    return 'syntax = "proto3";\n' + "\n".join(_message(each, request) for each in messages.values())


def presence(oneof: Any) -> str:
    """The type of the column that a oneof's name stands for: which of its fields is set."""
    names = ", ".join(
        f"'{field.name}' = {field.number}" for field in sorted(oneof.fields, key=lambda each: each.number)
    )
    return f"Enum8('unset' = 0, {names})"


def _held_by(message: Any) -> Iterator[Any]:
    for field in message.fields:
        if field.message_type is not None and field.name not in NESTED:
            yield field.message_type
            yield from _held_by(field.message_type)


def _message(message: Any, request: Any) -> str:
    fields = [_field(field) for field in message.fields if field.containing_oneof is None or _is_optional(field)]
    for oneof in message.oneofs:
        members = [_field(field) for field in oneof.fields if not _is_optional(field)]
        if members:
            fields.append(f"oneof {oneof.name} {{ {' '.join(members)} }}")
    return f"message {'Request' if message is request else _name(message)} {{ {' '.join(fields)} }}"


def _field(field: Any) -> str:
    if field.name in NESTED:
        kind = "bytes"
    else:
        kind = _name(field.message_type) if field.message_type is not None else _TYPES[field.type]
    return f"{'repeated ' if field.is_repeated else ''}{kind} {field.name} = {field.number};"


def _is_optional(field: Any) -> bool:
    """Whether a field's oneof only stands for `optional`."""
    return field.containing_oneof is not None and field.containing_oneof.name == f"_{field.name}"


def _name(message: Any) -> str:
    """A name that is unique within a signal: nested messages after the one that holds them."""
    return str(message.full_name.removeprefix(f"{message.file.package}.").replace(".", "_"))


VALUE_PRESENCE: Final = presence(AnyValue.DESCRIPTOR.oneofs_by_name["value"])
NUMBER_PRESENCE: Final = presence(NumberDataPoint.DESCRIPTOR.oneofs_by_name["value"])
EXEMPLAR_PRESENCE: Final = presence(Exemplar.DESCRIPTOR.oneofs_by_name["value"])
PROTO: Final[Mapping[str, str]] = MappingProxyType({signal: proto_text(signal) for signal in REQUESTS})
