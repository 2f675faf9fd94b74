"""The fault `bandwidth`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import routed
from agent.faults.asked import number

if TYPE_CHECKING:
    from agent.instance import Instance


class Bandwidth(routed.Routed):
    """The proxy passes bytes on at this rate in each direction, for all connections together."""

    name = "bandwidth"
    description = "the network path to it is narrow"
    arguments: Mapping[str, float | str] = MappingProxyType({"kilobytes_per_second": 64.0})

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        bytes_per_s = number(arguments, "kilobytes_per_second", 0.1, 1e6) * 1000.0
        return routed.plan(instance, seconds, {"kind": "bandwidth", "bytes_per_s": bytes_per_s})
