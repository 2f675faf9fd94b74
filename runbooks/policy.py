"""What runbooks may touch: data, read from `policy.yaml` beside the runbooks."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from runbooks.document import read_as
from runbooks.runbook import BUILT_IN, Runbook
from watchkeeper.errors import RunbookError


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    services: tuple[str, ...] = ()
    approval: None = None

    @field_validator("approval", mode="before")
    @classmethod
    def _always_human(cls, _: object) -> None:
        raise ValueError("delete this key: every runbook needs a human's approval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`services` are names or patterns that may be acted upon. Every run needs a human's approval besides."""

    services: tuple[str, ...]

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
        return Policy(services=())
    file, _ = read_as(_File, path)
    return Policy(services=file.services)
