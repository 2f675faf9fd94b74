"""The fault `partition`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults import packet_filter, routed
from agent.faults.asked import choice
from agent.holders.marked import new_mark

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

_VERDICT: Final = {"drop": "drop", "reject": "reject with tcp reset"}


class Partition:
    """Nobody reaches the service's port any more: packets are dropped (`drop`) or refused at once (`reject`).

    By the packet filter where the agent has one and the service is in its network namespace, else by the proxy.
    """

    name = "partition"
    description = "the network path to it is cut"
    arguments: Mapping[str, float | str] = MappingProxyType({"how": "drop"})

    def lacks(self, instance: Instance) -> str:
        filtered = why_unfiltered(instance)
        through = routed.lacks(instance)
        return f"{filtered}; and {through}" if filtered and through else ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        how = choice(arguments, "how", *_VERDICT)
        if why_unfiltered(instance):
            return {"by": "proxy", **routed.plan(instance, seconds, {"kind": how})}
        record = {"by": "filter", "mark": new_mark(), "port": instance.port, "service": instance.service}
        return {**record, "until": time.time() + seconds, "how": how}

    def begin(self, record: Record) -> None:
        if record["by"] == "proxy":
            routed.begin(record)
            return
        rule = f"tcp dport @ports counter {_VERDICT[record['how']]}"
        packet_filter.add(record["mark"], record["port"], record["until"] - time.time(), "input", [rule])

    def effect(self, record: Record) -> str:
        if record["by"] == "proxy":
            return routed.effect(record)
        if not packet_filter.packets(record["mark"]):
            packet_filter.knock("127.0.0.1", record["port"])
        packets = packet_filter.packets(record["mark"])
        return f"{packets} packets to port {record['port']} of {record['service']} were stopped" if packets else ""

    def end(self, record: Record) -> None:
        if record["by"] == "proxy":
            routed.end(record)
        else:
            packet_filter.remove(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return routed.remains(record) if record["by"] == "proxy" else packet_filter.remaining(record["mark"])


def why_unfiltered(instance: Instance) -> str:
    """Why the packet filter can't be used for it, in words; empty: it can."""
    if not instance.pids or not instance.port:
        return "the port where it listens is not known"
    if not packet_filter.is_in_our_network(instance.pid):
        return "it is in a network namespace of its own"
    return packet_filter.missing()
