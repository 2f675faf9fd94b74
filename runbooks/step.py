"""What every step is: a plan in words, a run, and an undo where there is one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from watchkeeper.target import ServiceStatus, Target


class Step(Protocol):
    """One verb against one service. `run` does its work once for each key."""

    @property
    def needs(self) -> frozenset[str]:
        """The verbs that the target must take for the service."""
        ...

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        """Describe what `run` would do. Pure: it touches nothing. `status` is None while it is unknown."""
        ...

    def run(self, target: Target, service: str, key: str) -> str:
        """Do it, and describe what was done. Raises RunbookError or TargetError."""
        ...


@runtime_checkable
class Undoable(Step, Protocol):
    """A step that a machine can take back. One that cannot has no `undo`: a human looks."""

    def undo(self, target: Target, service: str, key: str) -> str:
        """Take it back, once for each key, and describe that. Raises RunbookError or TargetError."""
        ...
