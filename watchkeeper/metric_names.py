"""What a metric is about, by the words of its name and its unit, and how a person reads it.

Names follow OpenTelemetry's or Prometheus' conventions, or nobody's: what counts are ordinary words (`used`, `limit`,
`pending`, `heap`), not the names of libraries.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

# What a metric says about users: `detail` is for whoever looks closer, and concerns nobody by itself.
Concern = Literal["errors", "duration", "queue", "saturation", "detail"]

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_UNITS: Final = {
    "s": ("s", 1.0), "sec": ("s", 1.0), "seconds": ("s", 1.0), "ms": ("s", 1e-3), "millis": ("s", 1e-3),
    "milliseconds": ("s", 1e-3), "us": ("s", 1e-6), "microseconds": ("s", 1e-6), "ns": ("s", 1e-9),
    "nanoseconds": ("s", 1e-9), "by": ("bytes", 1.0), "bytes": ("bytes", 1.0), "kby": ("bytes", 1e3),
    "kiby": ("bytes", 1024.0), "mby": ("bytes", 1e6), "miby": ("bytes", 1024.0**2), "mb": ("bytes", 1e6),
    "%": ("ratio", 0.01), "percent": ("ratio", 0.01), "pct": ("ratio", 0.01), "ratio": ("ratio", 1.0),
    "utilization": ("ratio", 1.0), "utilisation": ("ratio", 1.0),
}  # fmt: skip
_FILLER: Final = frozenset({"bytes", "seconds", "milliseconds", "total", "count", "size", "value", "ratio"})
_STATES: Final = frozenset({"used", "free", "available", "idle", "active", "pending", "max", "limit", "blocked"})
_BYTES: Final = frozenset({"memory", "mem", "heap", "rss", "filesystem", "disk"})
_COUNTS: Final = frozenset({"count", "objects", "operations", "ops", "collections", "faults", "allocations"})
# Parts of a process that run it: how they go concerns users only if it shows in requests, or reaches a limit.
_INTERNAL: Final = frozenset(
    {"gc", "heap", "space", "generation", "gen", "goroutine", "goroutines", "thread", "threads", "class", "classes",
     "jit", "safepoint", "buffer", "buffers", "compilation", "context", "switches", "memstats", "finalizer", "arena"}
)  # fmt: skip
_ERRORS: Final = re.compile(r"err(or)?s?|fail\w*|exceptions?|rejected|refused|dropped|timeouts?|restarts?|crash\w*|oom")
_QUEUE: Final = re.compile(r"queued?|backlog|pending|lag|waiting|waiters|unacked|outstanding")
_DURATION: Final = re.compile(r"duration|latency|delay|elapsed|lag|wait|stall\w*")
_SATURATION: Final = re.compile(r"utili[sz]ation|saturation|percent|pct")

LONG_S: Final = 0.02  # a move of a duration that somebody may notice
FULL: Final = 0.8  # the share of a limit from which on its use concerns users
SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
MANY: Final = 10.0  # items that wait
OFTEN_PER_S: Final = 0.1  # failures


@lru_cache(maxsize=65_536)
def words(metric: str) -> tuple[str, ...]:
    """The words of a name, in lower case; JSON attributes after it are no part of it.

    >>> words("v8js.memory.heapUsed_bytes")
    ('v8js', 'memory', 'heap', 'used', 'bytes')
    """
    parts = re.split(r"[^A-Za-z0-9]+", parted(metric)[0])
    return tuple(word.lower() for part in parts for word in (_WORD.findall(part) if not _is_name(part) else [part]))


def parted(text: str) -> tuple[str, str]:
    """A metric's name, and its JSON attributes where they follow in the same text.

    >>> parted('disk.used {"device":"sda"}'), parted("disk.used")
    (('disk.used', '{"device":"sda"}'), ('disk.used', ''))
    """
    metric, brace, rest = text.partition(" {")
    return metric, brace.strip() + rest


def _is_name(part: str) -> bool:
    """Whether letters and digits stand together for one thing: `p99`, `v8js`, `k8s`."""
    return bool(re.fullmatch(r"[a-z]+\d+[a-z]*", part))


@lru_cache(maxsize=65_536)
def attributes_of(text: str) -> Mapping[str, str]:
    """The JSON attributes of a metric, as text by key; none where they cannot be read.

    >>> dict(attributes_of('{"state":"used","size":3}'))
    {'state': 'used', 'size': '3'}
    """
    try:
        known = json.loads(text or "{}")
    except ValueError:
        known = None
    pairs = known.items() if isinstance(known, dict) else ()
    return MappingProxyType({str(key): str(value) for key, value in pairs})


def measure(metric: str, value: float, unit: str = "") -> tuple[float, str]:
    """A value in seconds, bytes or as a share, with which it is (`s`, `bytes`, `ratio`, or nothing where unknown).

    `unit` is as the sender gave it; without one, the name decides, and at last what such a thing is counted in.
    """
    named = words(metric)
    known = _UNITS.get(unit.lower()) or next((_UNITS[word] for word in reversed(named) if word in _UNITS), None)
    if known:
        scale = known[1] if known != ("ratio", 1.0) or abs(value) <= 1.5 else 0.01
        return value * scale, known[0]
    if not unit.strip("1") and _BYTES & set(named) and not _COUNTS & set(named) and abs(value) >= 1000:
        return value, "bytes"
    return value, ""


def concern(metric: str, value: float, usual: float, unit: str = "") -> Concern:
    """What a move from `usual` to `value` has to do with users, `detail` if nothing, or too little to be noticed."""
    named = words(metric)
    now, kind = measure(metric, value, unit)
    before, _ = measure(metric, usual, unit)
    if _has(_SATURATION, named) and kind == "ratio":
        return "saturation" if now >= FULL > before else "detail"
    if _has(_DURATION, named) and (kind == "s" or any("loop" in word for word in named)):
        return "duration" if kind == "s" and now - before >= LONG_S and not _of_gc(named) else "detail"
    if _INTERNAL & set(named):
        return "detail"
    if _has(_ERRORS, named):
        return "errors" if now - before >= OFTEN_PER_S else "detail"
    if _has(_QUEUE, named) and kind in ("", "ratio"):
        return "queue" if now - before >= MANY else "detail"
    return "detail"


def _has(pattern: re.Pattern[str], named: tuple[str, ...]) -> bool:
    return any(pattern.fullmatch(word) for word in named)


def _of_gc(named: tuple[str, ...]) -> bool:
    return bool({"gc", "compilation", "safepoint"} & set(named))


SPARE: Final = frozenset({"available", "avail", "free", "idle", "committed", "limit", "max", "min"})


def is_spare(metric: str) -> bool:
    """Whether a metric is about what is left or may be used at most, not about what is used.

    >>> is_spare("heap.space.available_size"), is_spare("heap.used")
    (True, False)
    """
    return not SPARE.isdisjoint(words(metric))


def describe_named(text: str) -> str:
    """As `describe`, of a name and its JSON attributes in one text."""
    return describe(*parted(text))


def describe(metric: str, attributes: str = "") -> str:
    """A metric as a person calls it, of JSON attributes the values alone.

    >>> describe("v8js.memory.heap.space.available_size", '{"v8js.heap.space.name":"code_space"}')
    'available heap space (code_space)'
    >>> describe("db.client.connections.usage", '{"pool.name":"orders","state":"used"}')
    'client connections usage (orders, used)'
    """
    named = [word for word in dict.fromkeys(words(metric)) if word not in _FILLER] or list(words(metric)) or [metric]
    shown = named[-3:]
    if shown[-1] in _STATES and len(shown) > 1:
        shown = [shown[-1], *shown[:-1]]
    values = _values(attributes)
    return " ".join(shown) + (f" ({', '.join(values)})" if values else "")


def _values(attributes: str) -> list[str]:
    """The values of JSON attributes, those that are mere numbers with the last word of their key; at most three."""
    try:
        known = json.loads(attributes or "{}")
    except ValueError:
        return [attributes[:60]]
    if not isinstance(known, dict):
        return []
    values = [
        f"{words(key)[-1]} {value}" if str(value).isdigit() and words(key) else str(value)[:40]
        for key, value in known.items()
        if str(value)
    ]
    return values[:3]


def amount(metric: str, value: float, unit: str = "") -> str:
    """A metric's value as a person reads it.

    >>> amount("v8js.memory.heap.used", 83_328.0, "By"), amount("queue.length", 12_345.0), amount("cpu_percent", 93.0)
    ('83 kB', '12,345', '93 %')
    """
    per = "/s" if unit.endswith("/s") else ""
    number, kind = measure(metric, value, unit.removesuffix("/s"))
    if per and kind in ("s", "bytes"):
        return f"{number:.2g} s/s" if kind == "s" else f"{_scaled(number, SIZES)}/s"
    if not math.isfinite(number):
        return "nothing"
    if kind == "ratio":
        return f"{number * 100:.0f} %" if abs(number) >= 0.01 or number == 0 else f"{number * 100:.2g} %"
    if kind == "s":
        return _scaled(number, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
    if kind == "bytes":
        return _scaled(number, SIZES)
    return (f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}") + per


def _scaled(number: float, steps: tuple[tuple[float, str], ...]) -> str:
    size, name = next((step for step in steps if abs(number) >= step[0]), steps[-1])
    scaled = number / size
    return f"{scaled:,.0f} {name}" if abs(scaled) >= 20 else f"{scaled:.2g} {name}"
