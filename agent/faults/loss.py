"""The fault `loss`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import packet_filter, routed
from agent.faults.asked import number
from agent.faults.on_path import OnPath, why_neither, why_unfiltered
from agent.holders.marked import new_mark

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class Loss(OnPath):
    """A share of the packets to the service's port is lost, and connections stall until they are sent again.

    By the packet filter where the agent has one and the service is in its network namespace. Else the proxy lets bytes
    wait as long as TCP waits before it sends a lost packet again: 0.2 s, then twice as long each time.
    """

    name = "loss"
    description = "packets to it are lost, and connections stall"
    arguments: Mapping[str, float | str] = MappingProxyType({"percent": 20.0})

    lacks = staticmethod(why_neither)

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        percent = number(arguments, "percent", 1.0, 100.0)
        if why_unfiltered(instance):
            return {"by": "proxy", **routed.plan(instance, seconds, {"kind": "loss", "percent": percent})}
        record = {"by": "filter", "mark": new_mark(), "port": instance.port, "service": instance.service}
        return {**record, "until": time.time() + seconds, "percent": percent}

    def begin_filtering(self, record: Record) -> None:
        share = round(record["percent"] * 10)
        rule = f"tcp dport @ports numgen random mod 1000 < {share} counter drop"
        packet_filter.add(record["mark"], record["port"], record["until"] - time.time(), "input", [rule])

    def filtered(self, record: Record) -> str:
        packets = packet_filter.packets(record["mark"])
        return f"{packets} packets to port {record['port']} of {record['service']} were lost" if packets else ""
