"""Protobuf on the wire as a tree that can be damaged: every freedom of the format, and every breach of it."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from collectors.ingest_log.segments import varint

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)
NUMBERS: Final = (0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS: Final = (
    b"",
    b" ",
    b"\x00",
    b"caf\xe9",
    b"\xed\xa0\xbd",
    b"\xff\xfe",
    b"\xc0\x80",
    b"<!channel> <b>",
    b"\xe2\x80\xae",
    b"x" * 70_000,
)


@dataclass
class Field:
    """One field: its number, its wire type, and either bytes, a number, or fields."""

    number: int
    wire: int
    value: Any
    children: list[Field] | None = None
    overlong: int = 0
    unclosed: bool = False
    extra_length: int = 0
    packed: bool = False

    def encode(self) -> bytes:
        """As it stands on the wire."""
        tag = _overlong(varint(self.number << 3 | self.wire), self.overlong)
        if self.wire == VARINT:
            return tag + _overlong(varint(self.value % 2**64), self.overlong)
        if self.wire == FIXED64:
            return tag + struct.pack("<Q", self.value % 2**64)
        if self.wire == FIXED32:
            return tag + struct.pack("<I", self.value % 2**32)
        body = b"".join(child.encode() for child in self.children) if self.children is not None else self.value
        if self.wire == GROUP:
            return tag + body + (b"" if self.unclosed else varint(self.number << 3 | GROUP_END))
        return tag + _overlong(varint(max(0, len(body) + self.extra_length)), self.overlong) + body


@dataclass
class Message:
    """Fields, and those of the fields within."""

    fields: list[Field] = field(default_factory=list)

    def encode(self) -> bytes:
        """As it stands on the wire."""
        return b"".join(each.encode() for each in self.fields)

    def lists(self) -> list[list[Field]]:
        """Every list of fields, at any depth."""
        found, waiting = [], [self.fields]
        while waiting:
            found.append(waiting.pop())
            waiting += [each.children for each in found[-1] if each.children is not None]
        return found


def _overlong(data: bytes, by: int) -> bytes:
    """A varint in more bytes than it needs."""
    if not by or len(data) + by > 10:
        return data
    return data[:-1] + bytes([data[-1] | 0x80]) + b"\x80" * (by - 1) + b"\x00"


def tree(message: Any) -> Message:
    """A message as a tree of its fields."""
    return Message(_fields(message))


def _fields(message: Any) -> list[Field]:
    found: list[Field] = []
    for descriptor, value in message.ListFields():
        for item in value if descriptor.is_repeated else [value]:
            found.append(_field(descriptor, item))  # noqa: PERF401 - two loops in one expression read worse
    return found


def _field(descriptor: Any, item: Any) -> Field:
    if descriptor.message_type is not None:
        return Field(descriptor.number, BYTES, None, _fields(item))
    match descriptor.type:
        case descriptor.TYPE_STRING:
            return Field(descriptor.number, BYTES, item.encode())
        case descriptor.TYPE_BYTES:
            return Field(descriptor.number, BYTES, item)
        case descriptor.TYPE_DOUBLE:
            return Field(
                descriptor.number,
                FIXED64,
                struct.unpack("<Q", struct.pack("<d", item))[0],
                packed=descriptor.is_repeated,
            )
        case descriptor.TYPE_FIXED64 | descriptor.TYPE_SFIXED64:
            return Field(descriptor.number, FIXED64, item, packed=descriptor.is_repeated)
        case descriptor.TYPE_FIXED32:
            return Field(descriptor.number, FIXED32, item)
        case descriptor.TYPE_SINT32 | descriptor.TYPE_SINT64:
            return Field(descriptor.number, VARINT, item << 1 ^ item >> 63)
        case _:
            return Field(descriptor.number, VARINT, int(item), packed=descriptor.is_repeated)


def damage(message: Message, dice: random.Random) -> None:
    """Change one thing."""
    fields = dice.choice([each for each in message.lists() if each] or [message.fields])
    dice.choice(_DAMAGES)(fields, dice)


def _other_wire_type(fields: list[Field], dice: random.Random) -> None:
    if not fields:
        return
    one = dice.choice(fields)
    old, one.wire, one.children = one.wire, dice.choice((VARINT, FIXED64, BYTES, FIXED32, GROUP)), None
    if one.wire == GROUP:
        one.children = []
    elif one.wire == BYTES:
        one.value = struct.pack("<Q", one.value % 2**64) if isinstance(one.value, int) else b"text"
    elif old in (BYTES, GROUP):
        one.value = dice.choice(NUMBERS)


def _unknown(fields: list[Field], dice: random.Random) -> None:
    number = dice.choice((17, 99, 1000, 19_000, 2**28, 2**29 - 1))
    wire = dice.choice((VARINT, FIXED64, BYTES, FIXED32, GROUP))
    value = b"new" if wire == BYTES else dice.choice(NUMBERS)
    children = [Field(1, VARINT, 1), Field(2, BYTES, b"x")] if wire == GROUP else None
    fields.insert(dice.randint(0, len(fields)), Field(number, wire, value, children))


def _known_group(fields: list[Field], dice: random.Random) -> None:
    fields.insert(dice.randint(0, len(fields)), Field(dice.randint(1, 16), GROUP, None, []))


def _known_number(fields: list[Field], dice: random.Random) -> None:
    wire = dice.choice((VARINT, FIXED64, BYTES, FIXED32))
    value = dice.choice(TEXTS[:-1]) if wire == BYTES else dice.choice(NUMBERS)
    fields.insert(dice.randint(0, len(fields)), Field(dice.randint(1, 16), wire, value))


def _number_zero(fields: list[Field], dice: random.Random) -> None:
    fields.append(dice.choice((Field(0, VARINT, 0), Field(0, BYTES, b""))))


def _twice(fields: list[Field], dice: random.Random) -> None:
    if fields:
        fields.insert(dice.randint(0, len(fields)), dice.choice(fields))


def _gone(fields: list[Field], dice: random.Random) -> None:
    if fields:
        fields.pop(dice.randrange(len(fields)))


def _shuffled(fields: list[Field], dice: random.Random) -> None:
    dice.shuffle(fields)


def _in_two(fields: list[Field], dice: random.Random) -> None:
    """A message in two pieces, which a decoder must merge."""
    whole = [at for at, each in enumerate(fields) if each.children and len(each.children) > 1]
    if whole:
        at = dice.choice(whole)
        children = fields[at].children or []
        cut = dice.randint(0, len(children))
        fields[at : at + 1] = [Field(fields[at].number, BYTES, None, part) for part in (children[:cut], children[cut:])]


def _overlong_varint(fields: list[Field], dice: random.Random) -> None:
    if fields:
        dice.choice(fields).overlong = dice.choice((1, 2, 4, 9))


def _wrong_length(fields: list[Field], dice: random.Random) -> None:
    if fields:
        dice.choice(fields).extra_length = dice.choice((-1, 1, 5, 2**31, 2**33))


def _extreme(fields: list[Field], dice: random.Random) -> None:
    numbers = [each for each in fields if each.wire in (VARINT, FIXED64, FIXED32)]
    if numbers:
        dice.choice(numbers).value = dice.choice(NUMBERS)


def _odd_text(fields: list[Field], dice: random.Random) -> None:
    texts = [each for each in fields if each.wire == BYTES and each.children is None]
    if texts:
        dice.choice(texts).value = dice.choice(TEXTS)


def _deep(fields: list[Field], dice: random.Random) -> None:
    """An array in an array in an array ..."""
    value = Field(1, BYTES, b"end")
    for _ in range(dice.choice((1, 3, 40, 60, 5000 if dice.random() < 0.1 else 90))):
        body = value.encode()
        value = Field(5, BYTES, Field(1, BYTES, body).encode())
    key_value = Field(1, BYTES, b"deep").encode() + Field(2, BYTES, value.encode()).encode()
    fields.append(Field(dice.choice((1, 6, 7, 9)), BYTES, key_value))


def _packed(fields: list[Field], dice: random.Random) -> None:
    """Repeated numbers in one field instead of one each."""
    numbers = [each for each in fields if each.packed and each.wire in (VARINT, FIXED64)]
    if numbers:
        number = dice.choice(numbers).number
        mine = [each for each in numbers if each.number == number]
        body = b"".join(
            varint(each.value % 2**64) if each.wire == VARINT else struct.pack("<Q", each.value % 2**64)
            for each in mine
        )
        fields[:] = [each for each in fields if all(each is not one for one in mine)] + [Field(number, BYTES, body)]


def _unclosed_group(fields: list[Field], dice: random.Random) -> None:
    fields.append(Field(dice.randint(1, 30), GROUP, None, [], unclosed=True))


_DAMAGES: Final = (
    *[_other_wire_type] * 4,
    *[_unknown] * 2,
    *[_known_number] * 2,
    *[_extreme] * 2,
    *[_odd_text] * 2,
    _known_group,
    _number_zero,
    _twice,
    _gone,
    _shuffled,
    _in_two,
    _overlong_varint,
    _wrong_length,
    _deep,
    _packed,
    _unclosed_group,
)
