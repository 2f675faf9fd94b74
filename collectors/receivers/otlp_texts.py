"""Texts that the store should not get as they are: invalid UTF-8, texts without end, arrays and key-value lists.

This is the slow way, in Python, for the rare request that needs it (collectors/receivers/otlp_survey.py finds out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from collectors.ingest_log.attributes import MESSAGES, json_text
from collectors.receivers.otlp_limits import MOST_NESTED_VALUES, Limits
from collectors.receivers.otlp_schemas import LENIENT, NESTED
from collectors.receivers.rejections import TooLargeError

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class RepairedTexts:
    """What was changed, for a message to the sender."""

    replaced: int = 0
    shortened: int = 0

    @property
    def message(self) -> str:
        """In words; empty if nothing was."""
        notes = []
        if self.replaced:
            notes.append(f"in {self.replaced} texts, bytes that are not UTF-8 were replaced by U+FFFD")
        if self.shortened:
            notes.append(f"{self.shortened} texts were over ingest.max_value_kib and were shortened")
        return "; ".join(notes)


def repair(signal: str, payload: bytes, limits: Limits) -> tuple[bytes, RepairedTexts]:
    """The request with valid texts of bounded length only, and with JSON text for arrays and key-value lists.

    Raises:
        google.protobuf.message.DecodeError: not a request of this signal.
        TooLargeError: arrays hold too many values.
    """
    message = LENIENT[signal].FromString(payload)
    repaired = RepairedTexts()
    _Repair(limits.value_bytes, repaired).message(message, _text_fields(signal))
    return bytes(message.SerializeToString()), repaired


def _text_fields(signal: str) -> dict[str, frozenset[str]]:
    """Which fields are texts in OTLP's own schema, by message."""
    names_by_message: dict[str, frozenset[str]] = {}

    def visit(message: Any) -> None:
        if message.full_name not in names_by_message:
            names_by_message[message.full_name] = frozenset(
                field.name for field in message.fields if field.type == FieldDescriptor.TYPE_STRING
            )
            for field in message.fields:
                if field.message_type is not None:
                    visit(field.message_type)

    visit(MESSAGES[signal].DESCRIPTOR)
    return names_by_message


class _Repair:
    def __init__(self, limit: int, repaired: RepairedTexts) -> None:
        self._limit = limit
        self._repaired = repaired
        self._nested_left = [MOST_NESTED_VALUES]

    def message(self, message: Any, texts: dict[str, frozenset[str]]) -> None:
        """Repair one message and what it holds."""
        if message.DESCRIPTOR.name == "AnyValue" and message.WhichOneof("value") in NESTED:
            message.string_value = self._json(message)
        own_texts = texts[message.DESCRIPTOR.full_name]
        for field, value in message.ListFields():
            if field.message_type is not None:
                for item in value if field.is_repeated else [value]:
                    self.message(item, texts)
            elif field.type == FieldDescriptor.TYPE_BYTES:
                good = self._text if field.name in own_texts else self._bytes
                if field.is_repeated:
                    value[:] = [good(item) for item in value]
                elif (better := good(value)) is not value:
                    setattr(message, field.name, better)

    def _json(self, value: Any) -> bytes:
        try:
            return json_text(value, self._nested_left).encode()
        except OverflowError:
            raise TooLargeError(
                f"array and key-value attributes hold over {MOST_NESTED_VALUES:,} values; send smaller batches"
            ) from None

    def _text(self, value: bytes) -> bytes:
        try:
            value.decode()
        except UnicodeDecodeError:
            self._repaired.replaced += 1
            value = value.decode("utf-8", "replace").encode()
        if len(value) > self._limit:
            self._repaired.shortened += 1
            end = f"… (shortened from {len(value):,} bytes)".encode()
            value = value[: self._limit - len(end)].decode("utf-8", "ignore").encode() + end
        return value

    def _bytes(self, value: bytes) -> bytes:
        if len(value) > self._limit:
            self._repaired.shortened += 1
            return value[: self._limit]
        return value
