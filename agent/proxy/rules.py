"""Rules: what a route does to the bytes that pass, and until when."""

from __future__ import annotations

import math
import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.proxy.certificate import server_context
from watchkeeper.errors import AgentError

LONGEST_S: Final = 86400.0
# What TCP does about a lost packet: it waits 200 ms, and twice as long each time that it is lost again.
FIRST_RETRANSMISSION_S: Final = 0.2
LAST_RETRANSMISSION: Final = 6


@dataclass(slots=True, kw_only=True)
class Rule:
    """One disturbance, as it was asked for, and how often it acted.

    Attributes:
        kind: `delay`, `loss`, `reset`, `bandwidth`, `drop`, `reject`, `http_errors` or `certificate`.
        ends_at: on the event loop's clock, in seconds.
        touched: connections, chunks or requests that it changed.
    """

    id: str
    kind: str
    ends_at: float
    percent: float = 100.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    status: int = 503
    path: str = "/"
    context: ssl.SSLContext | None = None
    touched: int = 0
    _free_at: dict[bool, float] = field(default_factory=dict)

    def chosen(self) -> bool:
        """Whether this one is among `percent` of all."""
        return random.random() * 100.0 < self.percent  # noqa: S311 - chance, no secret

    def due(self, now: float, size: int, *, to_service: bool) -> float:
        """When `size` bytes that came now are passed on; infinite: not before the rule ends."""
        due = now
        if self.kind == "drop":
            due = math.inf
        elif self.kind == "delay" and to_service:  # requests are late, answers are not: one delay a round trip
            due = now + self.delay_s + random.random() * self.jitter_s  # noqa: S311
        elif self.kind == "loss":
            due = now + self._retransmissions()
        elif self.kind == "bandwidth":
            due = max(now, self._free_at.get(to_service, now)) + size / self.bytes_per_s
            self._free_at[to_service] = due
        self.touched += due > now
        return due

    def _retransmissions(self) -> float:
        seconds, times = 0.0, 0
        while times < LAST_RETRANSMISSION and self.chosen():
            seconds += FIRST_RETRANSMISSION_S * 2**times
            times += 1
        return seconds

    def state(self, now: float) -> dict[str, Any]:
        """What is told of it."""
        return {"id": self.id, "kind": self.kind, "left_s": self.ends_at - now, "touched": self.touched}


_NUMBERS: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "delay": {"delay_s": (0.0, 60.0), "jitter_s": (0.0, 60.0)},
    "loss": {"percent": (0.0, 100.0)},
    "reset": {"percent": (0.0, 100.0)},
    "bandwidth": {"bytes_per_s": (1.0, 1e10)},
    "drop": {},
    "reject": {},
    "http_errors": {"percent": (0.0, 100.0)},
    "certificate": {},
}


def parse(asked: Mapping[str, Any], now: float) -> Rule:
    """A rule from the JSON of the control socket.

    Raises:
        AgentError: it is none.
    """
    kind = str(asked.get("kind", ""))
    if kind not in _NUMBERS:
        raise AgentError(f"the proxy has no rule {kind!r}; it has {', '.join(_NUMBERS)}")
    seconds = _number(asked, "seconds", 0.0, LONGEST_S)
    rule = Rule(id=str(asked.get("id", "")), kind=kind, ends_at=now + seconds)
    for name, (least, most) in _NUMBERS[kind].items():
        setattr(rule, name, _number(asked, name, least, most))
    if kind == "http_errors":
        rule.status = int(_number(asked, "status", 400, 599))
        rule.path = str(asked.get("path", "/"))
    if kind == "certificate":
        rule.context = server_context(str(asked.get("pem", "")))
    return rule


def _number(asked: Mapping[str, Any], name: str, least: float, most: float) -> float:
    value = asked.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise AgentError(f"a rule's {name} must be a number from {least:g} to {most:g}, not {value!r}")
    return float(value)
