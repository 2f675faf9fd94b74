"""The fault `jitter`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import routed
from agent.faults.asked import number

if TYPE_CHECKING:
    from agent.instance import Instance


class Jitter(routed.Routed):
    """The proxy delays each request by another time, evenly between nothing and the bound."""

    name = "jitter"
    description = "requests to it take longer, each by another time"
    arguments: Mapping[str, float | str] = MappingProxyType({"jitter_ms": 500.0})

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        jitter_ms = number(arguments, "jitter_ms", 1.0, 60000.0)
        return routed.plan(instance, seconds, {"kind": "delay", "delay_s": 0.0, "jitter_s": jitter_ms / 1000.0})
