"""Descriptions of OTLP's requests that make the protobuf runtime answer a question about a whole request at once.

Protobuf's wire format leaves some freedom, and these schemas, derived from OTLP's own, use it:

- A repeated message that is read as a single one is *merged*: the fields of all spans gather in one span. What no
  schema knows gathers there, too, and a number declared repeated gathers from all of them in one list (`surveys`).
- A message may be read as bytes: then it is counted and measured and not looked into (`censuses`).
- A list of key-value pairs is a map on the wire: read as one, the last of equal keys wins (`canonical`).
- A string may be read as bytes: then its UTF-8 is not checked (`lenient`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as FieldProto

from collectors.ingest_log.attributes import FILES, MESSAGES

Path = tuple[str, ...]
# How a field of an unrolled schema is read: as OTLP has it but single, as a list of numbers, as bytes, or not.
Reading = Literal["single", "numbers", "bytes", "left out"]
NESTED: Final = ("array_value", "kvlist_value")
_KEY_VALUE: Final = ".opentelemetry.proto.common.v1.KeyValue"
_ANY_VALUE: Final = ".opentelemetry.proto.common.v1.AnyValue"


def unrolled(signal: str, name: str, reading: Callable[[Path, Any, int], Reading], *, checks_text: bool = True) -> Any:
    """A message class for requests of `signal` in which every repeated message is read as one.

    Array and key-value attributes are optional bytes. There are no oneofs, so that no field clears another.

    Args:
        name: of the schema; unique.
        reading: of a field, by its path, its descriptor, and how many repeated messages stand above it.
        checks_text: whether a string must be UTF-8.
    """
    file = FileDescriptorProto(name=f"{name}.{signal}.proto", package=f"{name}.{signal}", syntax="proto3")

    def add(into: Any, message: Any, path: Path, depth: int) -> None:
        made = into.add(name=_type_name(path))
        for field in message.fields:
            here = (*path, field.name)
            how = reading(here, field, depth)
            if how == "left out":
                continue
            out = made.field.add(name=field.name, number=field.number, label=FieldProto.LABEL_OPTIONAL, type=field.type)
            if field.enum_type is not None:
                out.type = FieldProto.TYPE_INT32
            if field.type == FieldProto.TYPE_STRING and not checks_text:
                out.type = FieldProto.TYPE_BYTES
            if field.name in NESTED:
                out.type, out.proto3_optional, out.oneof_index = FieldProto.TYPE_BYTES, True, len(made.oneof_decl)
                made.oneof_decl.add(name=f"_{field.name}")
            elif how == "bytes":
                out.type, out.label = FieldProto.TYPE_BYTES, FieldProto.LABEL_REPEATED
            elif field.message_type is not None:
                add(made.nested_type, field.message_type, here, depth + field.is_repeated)
                out.type_name = f".{file.package}." + ".".join(_type_name(here[:end]) for end in range(len(here) + 1))
            elif how == "numbers" or (
                field.is_repeated and field.type not in (FieldProto.TYPE_STRING, FieldProto.TYPE_BYTES)
            ):
                out.label = FieldProto.LABEL_REPEATED

    add(file.message_type, MESSAGES[signal].DESCRIPTOR, (), 0)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{_type_name(())}"))


def _type_name(path: Path) -> str:
    return "Of" + "".join(part.capitalize() for part in (path[-1] if path else "request").split("_"))


def levels(signal: str) -> list[list[Path]]:
    """Where repeated messages stand in a request, from the outermost in."""
    levels_of_signal: list[list[Path]] = []

    def visit(message: Any, path: Path, depth: int) -> None:
        for field in message.fields:
            if field.message_type is None or field.name in NESTED:
                continue
            here = (*path, field.name)
            if field.is_repeated:
                if len(levels_of_signal) == depth:
                    levels_of_signal.append([])
                levels_of_signal[depth].append(here)
            visit(field.message_type, here, depth + field.is_repeated)

    visit(MESSAGES[signal].DESCRIPTOR, (), 0)
    return levels_of_signal


def censuses(signal: str) -> list[Any]:
    """One class for each of `levels`, which reads the messages of that level as bytes."""

    def at(level: int) -> Any:
        return unrolled(
            signal,
            f"census{level}",
            lambda _, field, depth: (
                "bytes" if field.message_type and field.is_repeated and depth == level else "single"
            ),
            checks_text=False,
        )

    return [at(level) for level in range(len(levels(signal)))]


def changed(change: Callable[[DescriptorProto, str], None]) -> Mapping[str, Any]:
    """OTLP's requests with every message of its schema changed by `change`, which gets the message and its name."""
    pool = descriptor_pool.DescriptorPool()
    for module in FILES:
        file = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for message, name in _messages(file.message_type, f".{file.package}"):
            change(message, name)
        pool.AddSerializedFile(file.SerializeToString())
    return {
        signal: message_factory.GetMessageClass(pool.FindMessageTypeByName(message.DESCRIPTOR.full_name))
        for signal, message in MESSAGES.items()
    }


def _messages(messages: Any, prefix: str) -> Iterator[tuple[DescriptorProto, str]]:
    for message in list(messages):
        name = f"{prefix}.{message.name}"
        yield from _messages(message.nested_type, name)
        yield message, name


def _attributes_as_map(message: DescriptorProto, name: str) -> None:
    for field in message.field:
        if field.type_name == _KEY_VALUE and field.label == FieldProto.LABEL_REPEATED and field.name != "values":
            entry = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"
            made = message.nested_type.add(name=entry)
            made.options.map_entry = True
            made.field.add(name="key", number=1, label=FieldProto.LABEL_OPTIONAL, type=FieldProto.TYPE_STRING)
            made.field.add(
                name="value",
                number=2,
                label=FieldProto.LABEL_OPTIONAL,
                type=FieldProto.TYPE_MESSAGE,
                type_name=_ANY_VALUE,
            )
            field.type_name = f"{name}.{entry}"


def _strings_as_bytes(message: DescriptorProto, _name: str) -> None:
    for field in message.field:
        if field.type == FieldProto.TYPE_STRING:
            field.type = FieldProto.TYPE_BYTES


CANONICAL: Final = changed(_attributes_as_map)
LENIENT: Final = changed(_strings_as_bytes)
LEVELS: Final = {signal: levels(signal) for signal in MESSAGES}
CENSUSES: Final = {signal: censuses(signal) for signal in MESSAGES}
