"""The faults that are installed: Watchkeeper's own and those of other packages, by entry point `watchkeeper.faults`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, cast, get_args

from chaos.fault import Fault, held_name
from chaos.on_host import either_way
from watchkeeper.errors import ChaosError
from watchkeeper.parts import Registry, read_registry
from watchkeeper.vocabulary import Mechanism


@cache
def fault_registry() -> Registry[Fault]:
    """Every fault, and those that could not be loaded."""
    return read_registry("fault", accept_fault)


@cache
def faults() -> Mapping[str, Fault]:
    """The faults that could be loaded, by name."""
    return MappingProxyType(fault_registry().values())


def fault_named(name: str, arguments: Mapping[str, float | str] | None = None) -> Fault:
    """A fault that is done from here, or by a target that holds it; `arguments` are for the latter.

    A target's own name of it leads to it, too: an agent's `cpu` is `cpu_hog`.

    Raises:
        ChaosError: it is unknown or broken; says what there is.
    """
    for fault in (faults().get(name), *(each for each in faults().values() if held_name(each) == name)):
        if fault is not None:
            return either_way(fault, arguments)
    if broken := fault_registry().broken_named(name):
        raise ChaosError(f"the fault {name!r} of {broken.origin} cannot be loaded: {broken.reason}")
    raise ChaosError(f"no fault {name!r}; there are {', '.join(faults())}")


def accept_fault(name: str, part: object) -> Fault:
    """A fault, or a class that makes one without arguments. Raises ValueError or TypeError for anything else."""
    fault: Any = part() if isinstance(part, type) else part
    missing = [method for method in ("inject", "harmed") if not callable(getattr(fault, method, None))]
    if missing:
        raise TypeError(f"a fault has {' and '.join(missing)}; see chaos.fault.Fault")
    if getattr(fault, "name", None) != name:
        raise ValueError(f"`name` must be {name!r}, as its entry point, not {getattr(fault, 'name', None)!r}")
    if getattr(fault, "mechanism", None) not in get_args(Mechanism):
        raise ValueError(f"`mechanism` must be one of {', '.join(get_args(Mechanism))}")
    if not isinstance(getattr(fault, "description", None), str) or not fault.description.strip():
        raise ValueError("`description` must be one sentence for a human")
    if not isinstance(getattr(fault, "needs", None), frozenset):
        raise TypeError("`needs` must be a frozenset of the capabilities that the target must have")
    return cast("Fault", fault)
