"""What every step is: a plan in words, a run, and an undo where there is one."""

from __future__ import annotations

from typing import Protocol

from runbooks.targets.shop import Services, ServiceStatus


class Step(Protocol):
    """One verb against one service. `run` and `undo` do their work once for each key."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        """Describe what `run` would do. Pure: it touches nothing. `status` is None while it is unknown."""
        ...

    def run(self, target: Services, service: str, key: str) -> str:
        """Do it, and describe what was done. Raises RunbookError."""
        ...

    def undo(self, target: Services, service: str, key: str) -> str | None:
        """Take it back and describe that; None where there is nothing to take back and a human must look."""
        ...
