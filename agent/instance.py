"""A service's running instance, as the agent found it on this host."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What runs as a service now.

    Attributes:
        service: its name, as in the agent's file.
        pids: its processes, the main one first; empty where nothing runs.
        born: the identity of the main process, which no other process has (`agent.processes.born`).
        started: since when (Unix seconds), for people.
        port: where it listens; 0: nowhere that is known.
        proxy_port: the port of the agent's proxy that callers go through to reach it; 0: they reach it directly.
        cgroup: its control group's folder where it has one of its own, else empty.
        settings: what the agent's file says of the service beside how it is found: addresses of its database, folders
            that faults may fill, commands of deploys and flags.
        finder: how it is found, started and stopped, as JSON values for a record (`agent.finder.finder_of`).
    """

    service: str
    pids: tuple[int, ...]
    born: str = ""
    started: float = 0.0
    port: int = 0
    proxy_port: int = 0
    cgroup: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    finder: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def pid(self) -> int:
        """The main process. Raises IndexError where nothing runs."""
        return self.pids[0]

    @property
    def name(self) -> str:
        """Changes with every start; empty where nothing runs."""
        return f"{self.pids[0]}-{self.born.rpartition(':')[2]}" if self.pids else ""
