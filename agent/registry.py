"""The faults of hosts that are installed: Watchkeeper's own and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, cast

from agent.fault import HostFault
from watchkeeper.parts import Registry, read_registry

_METHODS: Final = ("lacks", "plan", "begin", "effect", "end", "remains")


@cache
def fault_registry() -> Registry[HostFault]:
    """Every fault, and those that could not be loaded."""
    return read_registry("agent_fault", accept_fault)


@cache
def host_faults() -> Mapping[str, HostFault]:
    """The faults that could be loaded, by name."""
    return MappingProxyType(fault_registry().values())


def accept_fault(name: str, part: object) -> HostFault:
    """A class that makes a fault without arguments. Raises ValueError or TypeError for anything else."""
    if not isinstance(part, type):
        raise TypeError("a fault of a host is a class, so that a keeper can make it again; see agent.fault.HostFault")
    fault: Any = part()
    missing = [method for method in _METHODS if not callable(getattr(fault, method, None))]
    if missing:
        raise TypeError(f"a fault of a host has {', '.join(missing)}; see agent.fault.HostFault")
    if getattr(fault, "name", None) != name:
        raise ValueError(f"`name` must be {name!r}, as its entry point, not {getattr(fault, 'name', None)!r}")
    if not isinstance(getattr(fault, "description", None), str) or not fault.description.strip():
        raise ValueError("`description` must be one sentence for a human")
    arguments = getattr(fault, "arguments", None)
    if not isinstance(arguments, Mapping) or not all(isinstance(each, float | str) for each in arguments.values()):
        raise TypeError("`arguments` must map each argument's name to its default, a float or a text")
    return cast("HostFault", fault)
