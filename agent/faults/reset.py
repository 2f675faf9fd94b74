"""The fault `reset`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import routed
from agent.faults.asked import number

if TYPE_CHECKING:
    from agent.instance import Instance


class Reset(routed.Routed):
    """The proxy resets the connections of a share of the requests, when their first bytes come."""

    name = "reset"
    description = "connections to it are reset"
    arguments: Mapping[str, float | str] = MappingProxyType({"percent": 50.0})

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        return routed.plan(instance, seconds, {"kind": "reset", "percent": number(arguments, "percent", 1.0, 100.0)})
