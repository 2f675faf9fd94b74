"""The fault `latency`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import routed
from agent.faults.asked import number

if TYPE_CHECKING:
    from agent.instance import Instance


class Latency(routed.Routed):
    """The proxy passes every request on later; answers are not delayed, so it is one delay a round trip."""

    name = "latency"
    description = "every request to it takes longer"
    arguments: Mapping[str, float | str] = MappingProxyType({"delay_ms": 300.0})

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        delay_ms = number(arguments, "delay_ms", 1.0, 60000.0)
        return routed.plan(instance, seconds, {"kind": "delay", "delay_s": delay_ms / 1000.0, "jitter_s": 0.0})
