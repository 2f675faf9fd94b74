"""What is used of a limit, by service: memory, disks, pools, file descriptors, certificates.

A series belongs here by the words of its name: it is the used part of something whose limit is a series of the same
service, a share of a limit, what is left, or the time at which a certificate ends. A limit holds still; what grows
along with its use is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from detectors.evidence import Bools, Floats
from watchkeeper.metric_names import attributes_of, words

Resource = Literal["memory", "disk", "pool", "file descriptors", "certificate"]
Role = Literal["used", "limit", "free", "share", "end"]

_RESOURCES: Final[tuple[tuple[Resource, frozenset[str]], ...]] = (
    ("certificate", frozenset({"cert", "certificate", "certificates", "x509", "ssl", "tls"})),
    ("file descriptors", frozenset({"fd", "fds", "descriptor", "descriptors"})),
    ("disk", frozenset({"disk", "filesystem", "fs", "volume", "inodes", "storage"})),
    ("pool", frozenset({"connection", "connections", "pool", "sessions", "workers"})),
    ("memory", frozenset({"memory", "mem", "heap", "rss", "maxmemory"})),
)
_ROLES: Final[tuple[tuple[Role, frozenset[str]], ...]] = (
    ("share", frozenset({"utilization", "utilisation", "percent", "pct", "ratio", "saturation"})),
    ("limit", frozenset({"limit", "limits", "max", "maximum", "capacity", "quota", "maxmemory"})),
    ("free", frozenset({"free", "avail", "available", "remaining", "left", "idle"})),
    (
        "used",
        frozenset({"used", "usage", "use", "active", "busy", "open", "opened", "rss", "resident", "working", "alloc"}),
    ),
)
# Words that say how, not of what: names of one thing's use and limit differ in them alone.
_HOW: Final = frozenset({"set", "bytes", "count", "total", "size", "current", "spec", "settings", "number", "of"})
# Rates and events: what passed, not what is held.
_FLOWS: Final = frozenset(
    {"time", "wait", "duration", "rate", "io", "read", "reads", "write", "writes", "operations", "ops", "created",
     "closed", "timeouts", "errors", "faults", "requests", "transmit", "receive", "allocated", "pending", "bandwidth"}
)  # fmt: skip
_ENDS: Final = frozenset({"expiry", "expires", "expire", "expiration", "after", "notafter", "remaining", "left"})
LEAST_LIKENESS: Final = 1 / 3  # of the words of a use and of its limit, where no pair is named as one
STEADY: Final = 1.01  # the highest value of a limit over its lowest, at most
GROWTH: Final = 4.0
UNLIMITED: Final = 1e15  # bytes, connections: a limit above is a way to say that there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Rows of a history that together say how much of a resource a service uses.

    `limit` is the row of the limit; None where the series is a share, what is left, or where no limit is known.
    """

    row: int
    service: str
    metric: str
    attributes: str
    resource: Resource
    role: Role
    limit: int | None = None


@lru_cache(maxsize=65_536)
def role_of(metric: str, attributes: str) -> tuple[Resource, Role] | None:
    """What a series holds of which resource; None if it is about no limit.

    >>> role_of("db.client.connections.max", "{}"), role_of("jvm.memory.used", '{"jvm.memory.type":"heap"}')
    (('pool', 'limit'), ('memory', 'used'))
    """
    named = set(words(metric))
    resource = next((resource for resource, known in _RESOURCES if known & named), None)
    if resource is None:
        return None
    if resource == "certificate":
        return (resource, "end") if _ENDS & named else None
    if _FLOWS & named:
        return None
    state = {word for value in attributes_of(attributes).values() for word in words(value)}
    in_name = next((role for role, known in _ROLES if known & named), None)
    if in_name == "used" and ("free" in state or "idle" in state or "reserved" in state):
        return resource, "free"
    if in_name is None:
        in_state = next((role for role, known in _ROLES if known & state), None)
        return (resource, in_state) if in_state else None
    if in_name == "free" and resource != "disk":
        return None  # what is left of a heap or a pool moves with every request
    if in_name == "limit" and {"idle", "min"} & named:
        return None  # how many may wait, or must
    return resource, in_name


def uses(names: Sequence[tuple[str, ...]]) -> list[Use]:
    """The uses among series named (service, metric, attributes), each with its limit where one is known."""
    roles = {row: known for row, name in enumerate(names) if (known := role_of(name[1], name[2]))}
    limits: dict[tuple[str, Resource], list[int]] = {}
    for row, (resource, role) in roles.items():
        if role == "limit":
            limits.setdefault((names[row][0], resource), []).append(row)
    out = []
    for row, (resource, role) in roles.items():
        if role == "limit" or (role == "free" and resource != "disk"):
            continue
        service, metric, attributes = names[row]
        candidates = limits.get((service, resource), []) if role == "used" else []
        limit = _best(names[row], [(other, names[other]) for other in candidates])
        out.append(
            Use(
                row=row,
                service=service,
                metric=metric,
                attributes=attributes,
                resource=resource,
                role=role,
                limit=limit,
            )
        )
    return out


def _best(used: tuple[str, ...], limits: Sequence[tuple[int, tuple[str, ...]]]) -> int | None:
    """The limit that is most alike, of the same kind of memory and with no attribute that contradicts."""
    own, own_values = _stem(used[1]), attributes_of(used[2])
    ranked = []
    for row, (_, metric, attributes) in limits:
        stem, values = _stem(metric), attributes_of(attributes)
        contradicts = any(own_values.get(key, value) != value for key, value in values.items())
        if contradicts or ("heap" in own) != ("heap" in stem):
            continue
        alike = len(own & stem) / max(1, len(own | stem))
        if alike >= LEAST_LIKENESS:
            ranked.append((alike, len(values.items() & own_values.items()), -row))
    return -max(ranked)[2] if ranked else None


@lru_cache(maxsize=65_536)
def _stem(metric: str) -> frozenset[str]:
    how = _HOW.union(*(known for _, known in _ROLES))
    return frozenset(word.removesuffix("s") for word in words(metric) if word not in how or word == "rss")


def levels(uses_: Sequence[Use], values: Floats) -> tuple[Floats, Floats, Bools]:
    """The share of its limit that each use takes, `(uses, buckets)`, the limits, `(uses,)`, and whether they are known.

    Args:
        uses_: as `uses` gives them.
        values: the history's, `(series, buckets)`.

    What is left counts from the most that was left. Memory and file descriptors whose limit is unknown are a share
    of `GROWTH` times what they were at first. For a certificate it is 0. NaN where nothing can be said.
    """
    held = values[[use.row for use in uses_]]
    limit = np.full(len(held), np.nan)
    roles = np.array([use.role for use in uses_])
    paired = np.array([use.limit is not None for use in uses_])
    grows = np.array([use.resource in ("memory", "file descriptors") for use in uses_])
    most = np.where(np.isfinite(held), held, -np.inf).max(axis=1)
    limit[roles == "share"] = np.where(most[roles == "share"] > 1.5, 100.0, 1.0)
    limit[roles == "free"] = most[roles == "free"]
    limit[roles == "end"] = np.inf
    if paired.any():
        limit[paired] = _steady(values[[use.limit for use in uses_ if use.limit is not None]])
    alone = (roles == "used") & ~np.isfinite(limit) & grows
    early = held[alone, : max(1, held.shape[1] // 3)]
    counted = limit.copy()
    counted[alone] = GROWTH * np.where(np.isfinite(early), early, np.inf).min(axis=1, initial=np.inf)
    usable = (np.isfinite(counted) & (counted > 0)) | (roles == "end")
    share = held / np.where(usable, counted, np.nan)[:, None]
    return np.where((roles == "free")[:, None], 1.0 - share, share), counted, np.isfinite(limit)


def _steady(limits: Floats) -> Floats:
    """The value of each series that is a limit: positive, and the same all the time; else NaN."""
    low = np.where(np.isfinite(limits), limits, np.inf).min(axis=1)
    high = np.where(np.isfinite(limits), limits, -np.inf).max(axis=1)
    holds = np.isfinite(low) & (low > 0) & (high <= STEADY * low) & (high < UNLIMITED)
    return np.asarray(np.where(holds, high, np.nan))
