"""What a whole request says about itself, found without touching a span, a record or a point in Python.

The request is read with a schema that merges all of them into one (otlp_schemas.py): that validates
every byte of it, and shows at once which fields no schema knows, every timestamp, and whether attributes are nested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from collectors.ingest_log.attributes import MESSAGES
from collectors.receivers.otlp_limits import MOST_ELEMENTS, Limits
from collectors.receivers.otlp_schemas import CENSUSES, LEVELS, NESTED, Path, Reading, unrolled
from collectors.receivers.rejections import MalformedError, TooLargeError

# The lists whose elements become rows.
ROWS: Final[dict[str, list[Path]]] = {
    "traces": [("resource_spans", "scope_spans", "spans")],
    "logs": [("resource_logs", "scope_logs", "log_records")],
    "metrics": [
        ("resource_metrics", "scope_metrics", "metrics", kind, "data_points")
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    ],
}
# The times of a row by which it is stored, and which make its duration.
TIMES: Final = {
    "traces": ("start_time_unix_nano", "end_time_unix_nano"),
    "logs": ("time_unix_nano", "observed_time_unix_nano"),
    "metrics": ("time_unix_nano",),
}
# What a number point may hold.
VALUES: Final = ("as_double", "as_int")
KINDS: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
NOUNS: Final = {"traces": "spans", "logs": "log records", "metrics": "metric points"}
# After so many unknown fields without one that breaks a rule, the rest is taken to be what a newer OTLP has.
MOST_UNKNOWN: Final = 20_000
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_WIRE_NAMES: Final = ("varint", "64-bit", "length-delimited", "group", "group", "32-bit")
# Wire type by a field's type in a descriptor.
_WIRE_OF_TYPE: Final = {
    1: 1,
    2: 5,
    3: 0,
    4: 0,
    5: 0,
    6: 1,
    7: 5,
    8: 0,
    9: 2,
    11: 2,
    12: 2,
    13: 0,
    14: 0,
    15: 5,
    16: 1,
    17: 0,
    18: 0,
}

Times = npt.NDArray[np.uint64]


def _number_schema(signal: str) -> Any:
    """Only the times and values of the rows, as lists: what OTLP has once a row is repeated in the merged row."""
    rows = set(ROWS[signal])

    def reading(path: Path, field: Any, _depth: int) -> Reading:
        if path[:-1] in rows and field.name in (*TIMES[signal], *VALUES) and field.message_type is None:
            return "numbers"
        return "single" if any(row[: len(path)] == path for row in rows) else "left out"

    return unrolled(signal, "numbers", reading)


_SURVEYS: Final = {signal: unrolled(signal, "survey", lambda *_: "single") for signal in MESSAGES}
_NUMBERS: Final = {signal: _number_schema(signal) for signal in MESSAGES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found out about a request as a whole.

    Args:
        kinds: which kinds of metric it holds.
        has_nested: an attribute or a body is an array or a key-value list.
        has_unknown: there are fields that OTLP, as known here, doesn't have.
        times: for each of `TIMES`, what the rows say, in nanoseconds; a row that says nothing is not in it.
        values: how many number points hold a value.
    """

    kinds: frozenset[str]
    has_nested: bool
    has_unknown: bool
    times: tuple[Times, ...]
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many rows a request becomes.

    Args:
        rows: spans, records or points.
        numbers: those of the points that must hold a value.
        largest: bytes of the largest row; 0 if no row can be over what was asked for.
    """

    rows: int
    numbers: int
    largest: int


def count(signal: str, payload: bytes, limits: Limits) -> Census:
    """Count the rows, and everything that takes memory, before anything takes memory.

    Raises:
        google.protobuf.message.DecodeError: not a request of this signal.
        TooLargeError: more rows or elements than a request may have.
    """
    # What is repeated takes two bytes at least, so a smaller request needn't be counted.
    if len(payload) > 2 * min(limits.rows, MOST_ELEMENTS):
        _count_elements(signal, payload)
    level = next(at for at, paths in enumerate(LEVELS[signal]) if ROWS[signal][0] in paths)
    message = CENSUSES[signal][level].FromString(payload)
    lists = [_at(message, path) for path in ROWS[signal]]
    rows = sum(map(len, lists))
    if rows > limits.rows:
        raise TooLargeError(
            f"the request holds {rows:,} {NOUNS[signal]}, and {limits.rows:,} are allowed (ingest.max_rows); "
            "send smaller batches"
        )
    could_be_large = len(payload) > limits.value_bytes
    return Census(
        rows=rows,
        numbers=sum(map(len, lists[:2])) if signal == "metrics" else 0,
        largest=max((len(row) for rows in lists for row in rows), default=0) if could_be_large else 0,
    )


def _count_elements(signal: str, payload: bytes) -> None:
    elements = 0
    for schema, paths in zip(CENSUSES[signal], LEVELS[signal], strict=True):
        message = schema.FromString(payload)
        elements += sum(len(_at(message, path)) for path in paths)
        if elements > MOST_ELEMENTS:
            raise TooLargeError(
                f"the request holds over {MOST_ELEMENTS:,} resources, scopes, {NOUNS[signal]}, attributes, events and "
                "the like; send smaller batches"
            )


def _at(message: Any, path: Path) -> Any:
    for name in path:
        message = getattr(message, name)
    return message


def survey(signal: str, payload: bytes) -> Survey:
    """Look a request over.

    Raises:
        google.protobuf.message.DecodeError: not a request of this signal, or a string is not UTF-8.
        MalformedError: a field has another wire type than OTLP gives it; the message names it.
    """
    message = _SURVEYS[signal].FromString(payload)
    has_unknown = _check_unknown(message)
    numbers = _NUMBERS[signal].FromString(payload)
    rows = [_at(numbers, path) for path in ROWS[signal]]
    times = tuple(
        np.concatenate([np.fromiter(getattr(row, name), np.uint64) for row in rows]) for name in TIMES[signal]
    )
    kinds: frozenset[str] = frozenset()
    if signal == "metrics":
        metric = _at(message, ROWS[signal][0][:3])
        kinds = frozenset(kind for kind in KINDS if metric.HasField(kind)) or frozenset({"gauge"})
    return Survey(
        kinds=kinds,
        has_nested=any(_nested(message)),
        has_unknown=has_unknown,
        times=times,
        values=sum(len(getattr(row, name)) for row in rows[:2] for name in VALUES) if signal == "metrics" else 0,
    )


def _children(message: Any) -> Iterator[tuple[str, Any]]:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and message.HasField(field.name):
            yield field.name, getattr(message, field.name)


def _nested(message: Any) -> Iterator[bool]:
    if NESTED[0] in message.DESCRIPTOR.fields_by_name:
        yield any(message.HasField(name) for name in NESTED)
    for _, child in _children(message):
        yield from _nested(child)


def _check_unknown(message: Any) -> bool:
    """Whether the merged message holds unknown fields. None of them may be a known one in another wire type."""
    size = message.ByteSize()
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() == size:
        return False
    budget = [MOST_UNKNOWN]
    for path, nested in _messages(message, ()):
        _check_fields(path, nested, budget)
    return True


def _messages(message: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, message
    for name, child in _children(message):
        yield from _messages(child, (*path, name))


def _check_fields(path: Path, message: Any, budget: list[int]) -> None:
    fields = message.DESCRIPTOR.fields_by_number
    unknown = type(message)()
    unknown.CopyFrom(message)
    for field in message.DESCRIPTOR.fields:
        unknown.ClearField(field.name)
    for number, wire in _wire_fields(unknown.SerializeToString()):
        budget[0] -= 1
        if budget[0] < 0:
            return
        field = fields.get(number)
        if field is not None:
            expected = _WIRE_OF_TYPE[field.type]
            raise MalformedError(
                f"the field {'.'.join((*path, field.name))} has the wire type {_WIRE_NAMES[wire]}, where OTLP has "
                f"{_WIRE_NAMES[expected]}; nothing of the request was taken"
            )


def _wire_fields(data: bytes) -> Iterator[tuple[int, int]]:
    """The fields of well-formed bytes: number and wire type. What is within a group is passed over."""
    at, depth = 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if depth == 0:
            yield number, wire
        if wire == _VARINT:
            _, at = _varint(data, at)
        elif wire == _BYTES:
            length, at = _varint(data, at)
            at += length
        elif wire == _GROUP:
            depth += 1
        elif wire == _GROUP_END:
            depth -= 1
        else:
            at += 8 if wire == _FIXED64 else 4


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def all_within(times: Sequence[Times] | Times, lowest: int, highest: int) -> bool:
    """Whether every time lies between the two, both included."""
    arrays = [times] if isinstance(times, np.ndarray) else times
    return all(len(each) == 0 or (int(each.min()) >= lowest and int(each.max()) <= highest) for each in arrays)
