"""How a sensible payload becomes a senseless one: in its tree, in its text, in its bytes. All from one seed."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any, Final

# Each of these has broken something somewhere: dates out of range, half characters, numbers out of reach, odd types.
HOSTILE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e308, 5e-324,
    float("inf"), float("-inf"), float("nan"), "", " ", "\t", "0", "-1", "1e999", "NaN", "null", "true", "[]", "{}",
    "\x00", "a\x00b", "\ud800", "\udc00", "a\udfffb", "\ud83d\ude00", "\u202eabc", "\u200b", "\ufeff", "é" * 50,
    "<script>alert(1)</script>", "<!channel> @here <@UANA>", "'; DROP TABLE incidents; --", "${jndi:ldap://x}",
    "../../../../etc/passwd", "%00%ff", "{0.__class__}", "%s%s%n", "x" * 300, "x" * 5000, "\n\r\n", "=cmd()", "[[a](b)",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00",
    "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-29T25:61:61Z", "2026-11-29", "2026-11-29T00:00:00+99:99",
    "2026-W01-1", "1969-12-31T23:59:59Z", "-2026-11-29T00:00:00Z", "2026-11-29T00:00:00.123456789Z", "now", "monday",
    [], {}, [[]], [None], [{}], {"": ""}, {"a": None}, {"id": {}}, [1, "x", None], {"__proto__": {"x": 1}},
)  # fmt: skip


def mutated(random: Random, tree: Any, times: int | None = None) -> Any:
    """A copy of a tree in which some places hold something else."""
    changed = copy.deepcopy(tree)
    for _ in range(times if times is not None else random.choice((0, 1, 1, 1, 2, 3, 5))):
        changed = _once(random, changed)
    return changed


def text_of(random: Random, tree: Any) -> bytes:
    """A tree as JSON, now and then as something that only resembles it."""
    kind = random.random()
    if kind < 0.05:
        tree = _deep(random, tree)
    try:
        text = json.dumps(tree, ensure_ascii=random.random() < 0.7)
    except RecursionError:
        text = "[" * 5000
    body = text.encode("utf-8", "surrogatepass")
    if kind > 0.97:
        body = body.replace(b'": ', b'": 1e999, "x": ', 1)
    elif kind > 0.94 and text.startswith("{") and len(text) > 2:
        body = b"{" + body[1:-1] + b", " + body[1:-1] + b"}"  # every key twice
    elif kind > 0.92:
        body = body.replace(b":", b":9" + b"9" * random.choice((50, 400, 5000)) + b',"y":', 1)
    return damaged(random, body) if random.random() < 0.15 else body


def damaged(random: Random, body: bytes) -> bytes:
    """The same bytes, some of them wrong, missing, twice or in other places."""
    if not body:
        return random.randbytes(random.randrange(20))
    at = random.randrange(len(body))
    match random.randrange(8):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + random.randbytes(random.randrange(1, 9)) + body[at:]
        case 2:
            return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
        case 3:
            return body + body
        case 4:
            return b"\xef\xbb\xbf" + body
        case 5:
            return body[at:] + body[:at]
        case 6:
            return random.randbytes(random.randrange(200))
        case _:
            return b"[" * random.choice((10, 2000, 40_000)) + body


def hostile(random: Random) -> Any:
    """One hostile value."""
    return copy.deepcopy(random.choice(HOSTILE))


def hostile_text(random: Random) -> str:
    """One hostile value as a text."""
    value = hostile(random)
    return value if isinstance(value, str) else json.dumps(value)


def _once(random: Random, tree: Any) -> Any:
    places = list(_places(tree))
    if not places or random.random() < 0.05:
        return hostile(random)
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2:
            holder[key] = {"x": holder[key]}
        case 3 if isinstance(holder, dict):
            holder[hostile_text(random)] = holder[key]
        case 4 if isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(random.choice((1, 3, 300))))
        case 5 if isinstance(holder[key], str):
            holder[key] = random.choice((holder[key] + hostile_text(random), hostile_text(random) + holder[key]))
        case 6:
            other, name = random.choice(places)
            holder[key] = copy.deepcopy(other[name])
        case _:
            holder[key] = hostile(random)
    return tree


def _places(tree: Any) -> Any:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield tree, key
            yield from _places(value)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield tree, number
            yield from _places(value)


def _deep(random: Random, tree: Any) -> Any:
    for _ in range(random.choice((20, 200, 900))):
        tree = [tree] if random.random() < 0.5 else {"x": tree}
    return tree
