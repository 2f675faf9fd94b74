"""The fault `partition`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import packet_filter, routed
from agent.faults.asked import choice
from agent.faults.on_path import VERDICTS, OnPath, why_neither, why_unfiltered
from agent.holders.marked import new_mark

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class Partition(OnPath):
    """Nobody reaches the service's port any more: packets are dropped (`drop`) or refused at once (`reject`).

    By the packet filter where the agent has one and the service is in its network namespace, else by the proxy.
    """

    name = "partition"
    description = "the network path to it is cut"
    arguments: Mapping[str, float | str] = MappingProxyType({"how": "drop"})

    lacks = staticmethod(why_neither)

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        how = choice(arguments, "how", *VERDICTS)
        if why_unfiltered(instance):
            return {"by": "proxy", **routed.plan(instance, seconds, {"kind": how})}
        record = {"by": "filter", "mark": new_mark(), "port": instance.port, "service": instance.service}
        return {**record, "until": time.time() + seconds, "how": how}

    def begin_filtering(self, record: Record) -> None:
        rule = f"tcp dport @ports counter {VERDICTS[record['how']]}"
        packet_filter.add(record["mark"], record["port"], record["until"] - time.time(), "input", [rule])

    def filtered(self, record: Record) -> str:
        if not packet_filter.packets(record["mark"]):
            packet_filter.knock("127.0.0.1", record["port"])
        packets = packet_filter.packets(record["mark"])
        return f"{packets} packets to port {record['port']} of {record['service']} were stopped" if packets else ""
