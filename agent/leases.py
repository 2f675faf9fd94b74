"""Leases: verbs that the agent does after a time, whatever becomes of who asked. They are kept on the disk."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.processes import boot
from agent.records import write_synced

MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLease:
    """One lease. It is due by the clock that nobody sets; after a restart of the host, by the one that people set."""

    id: str
    service: str
    verb: str
    due_at: float  # Unix seconds
    boot: str
    due_after_boot_s: float
    if_instance: str = ""
    unless_version: str = ""

    def left_s(self) -> float:
        """How long it has, in seconds; 0 where it is due."""
        if self.boot == boot():
            return max(0.0, self.due_after_boot_s - time.clock_gettime(time.CLOCK_BOOTTIME))
        return max(0.0, self.due_at - time.time())


class Leases:
    """The leases of one state folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "leases"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def add(self, service: str, verb: str, after_s: float, terms: Mapping[str, str]) -> KeptLease:
        """Keep a lease; when this returns, the disk has it. Raises OSError."""
        lease = KeptLease(
            id=secrets.token_hex(8),
            service=service,
            verb=verb,
            due_at=time.time() + after_s,
            boot=boot(),
            due_after_boot_s=time.clock_gettime(time.CLOCK_BOOTTIME) + after_s,
            if_instance=terms.get("if_instance", ""),
            unless_version=terms.get("unless_version", ""),
        )
        write_synced(self._folder / f"{lease.id}.json", asdict(lease))
        return lease

    def remove(self, lease_id: str) -> bool:
        """Whether there was one. Raises OSError."""
        if not lease_id.isalnum():
            return False
        try:
            (self._folder / f"{lease_id}.json").unlink()
        except FileNotFoundError:
            return False
        return True

    def all(self) -> tuple[KeptLease, ...]:
        """Every lease that is not over; what cannot be read is none."""
        leases = []
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                leases.append(KeptLease(**row))
        return tuple(leases)
