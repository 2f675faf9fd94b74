"""A new rota comes into force: planned against the version that somebody looked at, and kept only if that still stands.

Two who apply at once: one version comes first, and the other is told whose it is. What is past keeps the version of
its time; an escalation that has begun keeps its chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from alerting.oncall.ownership import Kind, Owners, edited, with_file
from alerting.oncall.versions import RotaVersion, newest, record_version
from watchkeeper.config import Config, OnCallConfig, with_oncall
from watchkeeper.errors import ConfigError, Conflict, StateError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

TRIES: Final = 5
LOOP: Final = "rota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would come into force, and which version it would follow: None before the first."""

    before: RotaVersion | None
    oncall: OnCallConfig
    owners: Owners

    @property
    def follows(self) -> int:
        """The id of the version that it follows; 0 before the first."""
        return self.before.id if self.before else 0


def plan_file(db: Database, config: Config, source: str) -> Plan:
    """A configuration file's section, with what others made beside it.

    Raises:
        ConfigError: what others made does not fit it.
        StateError: another Watchkeeper wrote the version in force.
    """
    before = newest(db)
    if before is None:
        return Plan(before=None, oncall=config.oncall, owners=Owners(file=source))
    oncall, owners = config.oncall, Owners(file=source)
    if before.owners.others:
        oncall, owners = with_file(config.oncall, source, before.oncall, before.owners)
    return Plan(before=before, oncall=with_oncall(config, oncall).oncall, owners=owners)


def plan_edit(db: Database, config: Config, kind: Kind, name: str, value: Any, actor: Actor) -> Plan:
    """One object made, changed or, without a value, removed. See `edited` for what it raises."""
    return plan_edits(db, config, [(kind, name, value)], actor)


def plan_edits(db: Database, config: Config, edits: Iterable[tuple[Kind, str, Any]], actor: Actor) -> Plan:
    """Several objects made, changed or removed, as one version: of each its kind, its name and its value.

    See `edited` for what it raises.
    """
    before = newest(db)
    oncall = before.oncall if before else config.oncall
    owners = before.owners if before else Owners()
    for kind, name, value in edits:
        oncall, owners = edited(oncall, owners, kind, name, value, f"{actor.name} ({actor.via})")
    return Plan(before=before, oncall=with_oncall(config, oncall).oncall, owners=owners)


def bring_into_force(db: Database, plan: Plan, now: datetime, actor: Actor) -> bool:
    """Keep what was planned, from now on; False if it is in force already.

    Raises:
        Conflict: another version came first; names whose.
    """
    return record_version(db, plan.oncall, now, actor, owners=plan.owners, follows=plan.follows)


def expect(plan: Plan, version: int | None) -> None:
    """Check that a plan follows the version that somebody looked at; None: whichever there is.

    Raises:
        Conflict: another one is in force; names whose.
    """
    if version is None or plan.follows == version:
        return
    now = plan.before.described if plan.before else "none"
    raise Conflict(f"version {version} of the rota is not the one in force ({now}): look at it, then try again")


def start_with_file(db: Database, config: Config, source: str, now: datetime, actor: Actor, problems: Problems) -> None:
    """Bring the file's rota into force when a role starts. If it cannot be, the one that is in force goes on paging."""
    try:
        _repeat(lambda: bring_into_force(db, plan_file(db, config, source), now, actor))
    except (ConfigError, StateError) as error:
        problems.report(LOOP, "the file's rota", f"{error.message}; the version before stays in force")
    else:
        problems.solved(LOOP, "the file's rota")


def _repeat(bring: Callable[[], object]) -> None:
    for attempt in range(TRIES):
        try:
            bring()
            return
        except Conflict:  # another role that starts, too
            if attempt == TRIES - 1:
                raise
