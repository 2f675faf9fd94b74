"""OTLP/JSON to protobuf: ids in hex, enums as numbers, and what real exporters make of it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf import json_format

from collectors.ingest_log.attributes import MESSAGES
from collectors.receivers.otlp_limits import MOST_ELEMENTS
from collectors.receivers.otlp_survey import ROWS
from collectors.receivers.otlp_texts import REPLACEMENT
from collectors.receivers.rejections import MalformedError, TooLargeError

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
_STEP: Final = re.compile(r"Failed to parse (\w+) field: ")
_NO_NUMBER: Final = re.compile(r"invalid literal for int\(\) with base 10: ('.*')\.?")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# What a request is made of down to its rows; everything else is the content of one of these.
_FRAME: Final = frozenset({name for paths in ROWS.values() for path in paths for name in path})
_ROWS: Final = frozenset({"spans", "log_records", "data_points"})
_TOP: Final = {
    "traces": ("resourceSpans", "resource_spans"),
    "logs": ("resourceLogs", "resource_logs"),
    "metrics": ("resourceMetrics", "resource_metrics"),
}
LONGEST_REASON: Final = 300  # characters
# What the library raises on one odd value or the other, besides what it says that it raises.
_BAD: Final = (
    json_format.ParseError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    SystemError,
    RecursionError,
)


@dataclass(slots=True)
class FromJson:
    """A request that came as JSON.

    Args:
        body: serialised as protobuf.
        rejected: how many rows were left out, since they could not be read.
        replaced: whether half surrogate pairs or invalid UTF-8 were replaced.
        reason: why the first of them was.
    """

    body: bytes = b""
    rejected: int = 0
    replaced: bool = False
    reason: str = ""

    @property
    def message(self) -> str:
        """What was changed, for the sender; empty if nothing was."""
        notes = [f"{self.rejected} could not be read; the first: {self.reason}"] if self.rejected else []
        if self.replaced:
            notes.append("in some texts, what is not valid Unicode was replaced by U+FFFD")
        return "; ".join(notes)


def from_json(signal: str, body: bytes) -> FromJson:
    """Read OTLP/JSON. A row that can't be read is left out, and the others are kept.

    Raises:
        MalformedError: it is not JSON, not an object, or nothing in it can be read.
        TooLargeError: it holds too many objects.
    """
    if body.count(b"{") + body.count(b"[") > MOST_ELEMENTS:
        raise TooLargeError(f"the JSON body holds over {MOST_ELEMENTS:,} objects and lists; send smaller batches")
    result = FromJson()
    tree = _object(body, result)
    _refuse_another_signal(signal, tree)
    message = MESSAGES[signal]()
    try:
        json_format.ParseDict(_as_protobuf_has_it(tree, message.DESCRIPTOR), message, ignore_unknown_fields=True)
        result.body = message.SerializeToString()
    except _BAD as error:
        result.reason = _short(error)
        result.body = _salvaged(signal, tree, result)
    return result


def _refuse_another_signal(signal: str, tree: dict[str, Any]) -> None:
    """Unknown keys are ignored, as OTLP says; but a request of another signal would vanish without a word."""
    if not any(key in tree for key in _TOP[signal]):
        for other, keys in _TOP.items():
            if any(key in tree for key in keys):
                raise MalformedError(f"the body holds {other}, not {signal}; send it to /v1/{other}")


def _salvaged(signal: str, tree: dict[str, Any], result: FromJson) -> bytes:
    message = MESSAGES[signal]()
    whole_reason = result.reason
    try:
        kept = _Salvage(result).fill(message, tree)
        result.reason = result.reason or whole_reason
        if kept:
            return bytes(message.SerializeToString())
    except _BAD as error:
        result.reason = _short(error)
    raise MalformedError(f"the body is not OTLP/JSON for {signal}: {result.reason}")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds, with U+FFFD for what is not valid Unicode.

    Raises:
        MalformedError: it is not JSON, or not an object.
    """
    return _object(body, FromJson())


def _object(body: bytes, result: FromJson) -> dict[str, Any]:
    try:
        encoding = json.detect_encoding(body)
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            text, result.replaced = body.decode(encoding, "replace"), True
        # Some exporters write NaN and Infinity without the quotes that OTLP wants.
        tree = json.loads(text, parse_constant=str)
        if "\\ud" in text or "\\uD" in text:
            tree = _without_surrogates(tree, result)
    except RecursionError as error:
        raise MalformedError("the JSON body is nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"the body is not JSON: {_short(error)}") from error
    if not isinstance(tree, dict):
        raise MalformedError("the JSON body must be an object")
    return tree


def _short(error: BaseException) -> str:
    """Why, in one short line; the library nests one sentence in the other for each step down to the field."""
    text = " ".join(_SURROGATE.sub(REPLACEMENT, str(error) or type(error).__name__).split())
    text = _NO_NUMBER.sub(r"\1 is not a whole number", text)
    path = []
    while step := _STEP.match(text):
        path.append(step[1])
        text = text[step.end() :].removesuffix(".")
    text = f"{'.'.join(path)}: {text}" if path else text
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def _without_surrogates(tree: Any, result: FromJson) -> Any:
    """Half a surrogate pair is no character, and no protobuf string can hold it."""
    match tree:
        case str():
            text = _SURROGATE.sub(REPLACEMENT, tree)
            result.replaced = result.replaced or text != tree
            return text
        case list():
            return [_without_surrogates(item, result) for item in tree]
        case dict():
            return {_without_surrogates(key, result): _without_surrogates(value, result) for key, value in tree.items()}
        case _:
            return tree


@cache
def _fields(message: Any) -> dict[str, Any]:
    """The fields of a message by the names that they may have in JSON."""
    return {name: field for field in message.fields for name in (field.name, field.camelcase_name)}


def _as_protobuf_has_it(tree: Any, message: Any) -> dict[str, Any]:
    """What protobuf's own JSON form has for what OTLP/JSON has: its ids are in hex, not in base64.

    The library takes a list or a text for a message without fields, so this also makes sure of the objects.
    """
    if not isinstance(tree, dict):
        raise json_format.ParseError(f"each {message.name} must be an object")
    fields, made = _fields(message), {}
    for key, value in tree.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        if field.message_type is None:
            made[key] = _base64(key, value) if key in _IDS and isinstance(value, str) else value
        elif not field.is_repeated:
            made[key] = _as_protobuf_has_it(value, field.message_type)
        elif isinstance(value, list):
            made[key] = [_as_protobuf_has_it(item, field.message_type) for item in value]
        else:
            raise json_format.ParseError(f"{key} must be a list")
    return made


def _base64(key: str, value: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(value)).decode()
    except ValueError:
        raise ValueError(
            f"{key} {value[:40]!r} is not hexadecimal; OTLP/JSON writes ids in hex (32 digits for a trace, 16 for a "
            "span), not in base64"
        ) from None


class _Salvage:
    """Reads a request row by row, and leaves out what can't be read."""

    def __init__(self, result: FromJson) -> None:
        self._result = result
        self._result.reason = ""

    def fill(self, message: Any, tree: Any) -> int:
        """Read `tree` into `message`; how many rows were kept."""
        if not isinstance(tree, dict):
            raise json_format.ParseError(f"{message.DESCRIPTOR.name} must be an object")
        fields = _fields(message.DESCRIPTOR)
        frame = {key: value for key, value in tree.items() if key in fields and fields[key].name in _FRAME}
        own = {key: value for key, value in tree.items() if key not in frame}
        json_format.ParseDict(_as_protobuf_has_it(own, message.DESCRIPTOR), message, ignore_unknown_fields=True)
        kept = 0
        for key, value in frame.items():
            field = fields[key]
            if value is None:
                continue
            if not field.is_repeated:
                part = getattr(message, field.name)
                part.SetInParent()
                kept += self.fill(part, value)
            elif not isinstance(value, list):
                raise json_format.ParseError(f"{key} must be a list")
            else:
                kept += sum(self._add(getattr(message, field.name), item, field.name) for item in value)
        return kept

    def _add(self, parts: Any, tree: Any, name: str) -> int:
        part = parts.add()
        try:
            if name not in _ROWS:
                return self.fill(part, tree)
            json_format.ParseDict(_as_protobuf_has_it(tree, part.DESCRIPTOR), part, ignore_unknown_fields=True)
            part.SerializeToString()
        except _BAD as error:
            del parts[-1]
            self._result.rejected += _rows_in(tree, name)
            self._result.reason = self._result.reason or _short(error)
            return 0
        return 1


def _rows_in(tree: Any, name: str) -> int:
    """How many rows a part that can't be read holds; a row that isn't one counts, too."""
    if name in _ROWS:
        return 1
    if not isinstance(tree, dict):
        return 0
    rows = 0
    for key, value in tree.items():
        snake = re.sub("([A-Z])", lambda match: "_" + match[1].lower(), key)
        if snake in _FRAME:
            rows += sum(_rows_in(item, snake) for item in (value if isinstance(value, list) else [value]))
    return rows
