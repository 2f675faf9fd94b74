"""What an agent finds on its host and could do there, for `watchkeeper agent check`. Touches nothing."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from agent.allowed import Allowed, read_allowed
from agent.keeper import STOP_FILE
from agent.records import open_folders
from agent.services import Services
from agent.verbs.clear_disk import clearing_lacks
from watchkeeper.errors import AgentError


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenService:
    """One service: what runs, what may be done, and what can't be done now, with the reason."""

    service: str
    state: str
    pid: int
    instances: int
    port: int
    can: tuple[str, ...]
    lacks: dict[str, str]

    def cells(self) -> tuple[str, ...]:
        more = f" (+{self.instances - 1} instances)" if self.instances > 1 else ""
        process = f"{self.pid}{more}" if self.pid else "-"
        lacks = "; ".join(f"{what}: {why}" for what, why in self.lacks.items())
        return (self.service, self.state, process, str(self.port or "-"), ", ".join(self.can), lacks or "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHost:
    """Everything that `check` prints."""

    name: str
    running: str
    services: tuple[SeenService, ...]
    notes: tuple[str, ...]
    telemetry: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(path: Path) -> SeenHost:
    """Read the file, and look at the host.

    Raises:
        ConfigError: the file is wrong; one line a mistake.
    """
    allowed = read_allowed(path)
    services = Services(allowed)
    rows = []
    for name in allowed.file.services:
        row = services.describe(name)
        lacks = dict(row["lacks"])
        if row["trouble"]:
            lacks = {"everything": row["trouble"]}
        rows.append(
            SeenService(
                service=name,
                state=row["state"],
                pid=row["pid"],
                instances=row["instances"],
                port=row["port"],
                can=tuple(row["can"]),
                lacks=lacks,
            )
        )
    return SeenHost(
        name=allowed.file.name,
        running=_running(allowed),
        services=tuple(rows),
        notes=tuple(_notes(allowed)),
        telemetry=_telemetry(allowed),
    )


def _telemetry(allowed: Allowed) -> tuple[str, ...]:
    """What telemetry would be sent and where, a sentence each; nothing where the file has none."""
    if allowed.file.telemetry is None:
        return ()
    from agent.telemetry.preview import describe

    return tuple(describe(allowed, allowed.file.telemetry))


def _running(allowed: Allowed) -> str:
    """Whether an agent holds the state folder."""
    address = f"{allowed.file.host}:{allowed.file.port}"
    try:
        descriptor = os.open(allowed.file.state_dir / "agent.lock", os.O_RDONLY)
    except OSError:
        return f"the agent does not run; it would listen on {address}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"the agent runs, at {address}"
    finally:
        os.close(descriptor)
    return f"the agent does not run; it would listen on {address}"


def _notes(allowed: Allowed) -> list[str]:
    notes = [
        f"{name} may not be broken now: {closed}"
        for name in allowed.file.services
        if (closed := allowed.closed(name, datetime.now(UTC)))
    ]
    for name, section in allowed.file.services.items():
        notes += [f"{name}: {why}" for why in clearing_lacks(section)]
    if not allowed.file.tls and not _is_loopback(allowed.file.host):
        notes.append(f"host is {allowed.file.host}, and the token travels in clear: set tls, or a loopback host")
    if (allowed.file.state_dir / STOP_FILE).exists():
        notes.append("everything was stopped; faults are taken again after POST /resume")
    services = Services(allowed)
    notes += [
        f"{name} is drained: its callers are refused until somebody asks for `undrain`"
        for name in allowed.file.services
        if services.is_drained(name)
    ]
    for folder in open_folders(allowed.file.state_dir):
        with suppress(AgentError):
            state = folder.state()
            told = f": {state.error}" if state.error else ""
            notes.append(f"the fault {state.fault} of {state.service} is {state.state}{told}")
    return notes


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
