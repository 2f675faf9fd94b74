"""What the agent answers where it does not do what was asked."""

from __future__ import annotations

from watchkeeper.errors import AgentError


class Refused(AgentError):
    """The agent does not do what was asked; `status` is HTTP's."""

    def __init__(self, status: int, message: str, *, unsure: bool = False) -> None:
        """`unsure`: what was asked before with the same key may have been done."""
        super().__init__(message)
        self.status = status
        self.unsure = unsure
