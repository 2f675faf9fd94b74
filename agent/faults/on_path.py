"""Faults on the way to a port: by the agent's proxy, which callers go through, or by the packet filter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from agent.faults import packet_filter, routed

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

VERDICTS: Final = {"drop": "drop", "reject": "reject with tcp reset"}


class OnPath(ABC):
    """What holds whichever of the two does it. `by` of the record says which: `proxy` or `filter`."""

    def begin(self, record: Record) -> None:
        if record["by"] == "proxy":
            routed.begin(record)
        else:
            self.begin_filtering(record)

    def effect(self, record: Record) -> str:
        return routed.effect(record) if record["by"] == "proxy" else self.filtered(record)

    def end(self, record: Record) -> None:
        if record["by"] == "proxy":
            routed.end(record)
        else:
            packet_filter.remove(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return routed.remains(record) if record["by"] == "proxy" else packet_filter.remaining(record["mark"])

    @abstractmethod
    def begin_filtering(self, record: Record) -> None:
        """Set the packet filter's rules."""

    @abstractmethod
    def filtered(self, record: Record) -> str:
        """What the packet filter has done, in words; empty: nothing yet."""


def why_neither(instance: Instance) -> str:
    """Why neither the packet filter nor the proxy can disturb its port, in words; empty: one can."""
    filtered = why_unfiltered(instance)
    through = routed.lacks(instance)
    return f"{filtered}; and {through}" if filtered and through else ""


def why_unfiltered(instance: Instance) -> str:
    """Why the packet filter can't be used for it, in words; empty: it can."""
    if not instance.pids or not instance.port:
        return "the port where it listens is not known"
    if not packet_filter.is_in_our_network(instance.pid):
        return "it is in a network namespace of its own"
    return packet_filter.missing()
