"""What runbooks may touch, who approves them, and what may run without a human: data, in `policy.yaml` beside them.

By default nothing may be touched, and every run needs one human's approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from runbooks.document import read_as
from runbooks.runbook import BUILT_IN, Runbook
from runbooks.step import DatabaseAccess
from watchkeeper.errors import RunbookError

Names = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
STANDS_S: Final = 3600.0


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApprovalRule(_Section):
    """Who approves, how many must, and for how many seconds an approval stands while the run has not begun.

    `people` and `schedules` are ids of the configuration's `oncall`; whoever is on call in a schedule may. Both empty:
    everybody who can give commands.
    """

    people: Names = ()
    schedules: Names = ()
    count: Annotated[int, Field(ge=1, le=10)] = 1
    stands_s: Annotated[float, Field(ge=10, le=7 * 86_400)] = STANDS_S


class _Approval(ApprovalRule):
    """The rule for every runbook, and other rules for some, by id."""

    runbooks: dict[str, ApprovalRule] = Field(default_factory=dict)


class ProofRule(_Section):
    """What experiments must have shown of a runbook: in how many runs, within how many days, and which share."""

    runs: Annotated[int, Field(ge=3, le=1000)] = 5
    newer_than_days: Annotated[float, Field(gt=0, le=366)] = 30.0
    success_rate: Annotated[float, Field(ge=0.5, le=1)] = 0.9


class RateRule(_Section):
    """At most so many runs without a human within so many hours."""

    runs: Annotated[int, Field(ge=1, le=100)] = 3
    hours: Annotated[float, Field(gt=0, le=168)] = 1.0


class BreakerRule(_Section):
    """After so many failures in a row within so many hours, a human must approve again."""

    failures: Annotated[int, Field(ge=1, le=10)] = 2
    hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24.0


class RadiusRule(_Section):
    """At most so many services, and such a share of the target's services, by one run."""

    services: Annotated[int, Field(ge=1, le=20)] = 1
    share_of_services: Annotated[float, Field(gt=0, le=1)] = 0.25


class AutonomousRule(_Section):
    """Runbooks that may run without a human on some services, where all the rest holds as well."""

    runbooks: Names = ()
    services: Names = ()
    proof: ProofRule = ProofRule()
    rate: RateRule = RateRule()
    breaker: BreakerRule = BreakerRule()
    blast_radius: RadiusRule = RadiusRule()


class _Database(_Section):
    url_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    write: bool = False


class _File(_Section):
    services: Names = ()
    approval: _Approval = _Approval()
    autonomous: AutonomousRule = AutonomousRule()
    http_hosts: Names = ()
    databases: dict[Annotated[str, Field(pattern="^[a-z0-9_-]{1,64}$")], _Database] = Field(default_factory=dict)


_ANYBODY: Final = ApprovalRule()
_NOTHING: Final = AutonomousRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`services` are names or patterns that may be acted upon; the rest is described with its keys above."""

    services: tuple[str, ...]
    approval: ApprovalRule = _ANYBODY
    approval_of: Mapping[str, ApprovalRule] = field(default_factory=lambda: MappingProxyType({}))
    autonomous: AutonomousRule = _NOTHING
    http_hosts: tuple[str, ...] = ()
    databases: Mapping[str, DatabaseAccess] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, runbook: Runbook, service: str) -> None:
        """Raises RunbookError unless this service was declared as one that runbooks may touch."""
        if not any(fnmatchcase(service, pattern) for pattern in self.services):
            raise RunbookError(
                f"{runbook.id} may not touch {service}: it is not among `services` in the runbooks' policy.yaml. "
                "Add it there to allow it."
            )

    def rule_for(self, runbook: str) -> ApprovalRule:
        """Who approves a runbook."""
        return self.approval_of.get(runbook, self.approval)


def read_policy(folder: Path | None = None) -> Policy:
    """The policy of a runbook folder. Without a file nothing may be touched.

    Raises:
        RunbookError: names the file, the line and the key, and what is wrong with it.
    """
    path = (folder or BUILT_IN) / "policy.yaml"
    if not path.exists():
        return Policy(services=())
    file, _ = read_as(_File, path)
    return Policy(
        services=file.services,
        approval=file.approval,
        approval_of=file.approval.runbooks,
        autonomous=file.autonomous,
        http_hosts=file.http_hosts,
        databases={name: DatabaseAccess(url_env=one.url_env, write=one.write) for name, one in file.databases.items()},
    )
