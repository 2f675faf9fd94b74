"""What runbooks may touch, and what needs a human's yes: data, read from `policy.yaml` beside the runbooks."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from runbooks.document import read_as
from runbooks.runbook import BUILT_IN, Runbook
from watchkeeper.errors import RunbookError


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    services: tuple[str, ...] = ()
    approval: dict[str, Literal["human", "none"]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`services` are names or patterns that may be acted upon; `free` are the runbooks that need no approval."""

    services: tuple[str, ...]
    free: frozenset[str]

    def needs_approval(self, runbook_id: str) -> bool:
        return runbook_id not in self.free

    def check(self, runbook: Runbook, service: str) -> None:
        """Raises RunbookError unless this service was declared as one that runbooks may touch."""
        if not any(fnmatchcase(service, pattern) for pattern in self.services):
            raise RunbookError(
                f"{runbook.id} may not touch {service}: it is not among `services` in the runbooks' policy.yaml. "
                "Add it there to allow it."
            )


def read_policy(folder: Path | None = None) -> Policy:
    """The policy of a runbook folder. Without a file nothing may be touched."""
    path = (folder or BUILT_IN) / "policy.yaml"
    if not path.exists():
        return Policy(services=(), free=frozenset())
    file, _ = read_as(_File, path)
    return Policy(services=file.services, free=frozenset(k for k, v in file.approval.items() if v == "none"))
