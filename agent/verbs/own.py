"""The verbs of the agent's own, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from agent.verbs.clear_disk import ClearDisk, RestoreDisk
from agent.verbs.command import RunCommand
from agent.verbs.drain import Drain
from agent.verbs.flag import SetFlag
from agent.verbs.scale import Scale

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.verb import OwnVerb

OWN_VERBS: Final[Mapping[str, OwnVerb]] = MappingProxyType(
    {
        "clear-disk": ClearDisk(),
        "command": RunCommand(),
        "drain": Drain(begins=True),
        "flag": SetFlag(),
        "restore-disk": RestoreDisk(),
        "scale": Scale(),
        "undrain": Drain(begins=False),
    }
)


def allowed_verbs(section: ServiceSection) -> tuple[str, ...]:
    """Those that the agent's file allows for a service."""
    return tuple(name for name, verb in OWN_VERBS.items() if verb.is_allowed(section))
