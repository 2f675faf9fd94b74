"""The rota as it was: each version of `oncall:` that ran, from when on, so that an edit rewrites no history.

A version comes into force when the watch role starts with another file, by `watchkeeper oncall apply`, and by an edit
through the API. What lies in the past is answered by the version that was in force then; what lies ahead, by the
newest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import func, insert, select

from alerting.oncall import file_owned
from alerting.oncall.ownership import Owners
from alerting.oncall.schedule import Override, Shift, final_schedule
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import Conflict, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import rota_versions as table
from watchkeeper.vocabulary import Actor, Window

# Two roles that start at once record a version once (PostgreSQL; any number that is ours).
RECORDING: Final = 8_274_005


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaVersion:
    """One `oncall:` section, in force from `since` on, until the next version."""

    id: int
    since: datetime
    by: str
    text: str
    owners: Owners = field(default_factory=Owners)

    @property
    def described(self) -> str:
        """Which it is, by whom and since when."""
        return f"version {self.id}, by {self.by} at {self.since:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def oncall(self) -> OnCallConfig:
        """The section.

        Raises:
            StateError: this version of Watchkeeper cannot read it.
        """
        try:
            return _parsed(self.text)
        except ValueError as error:
            raise StateError(f"version {self.id} of the rota cannot be read: another Watchkeeper wrote it") from error


@lru_cache(maxsize=64)
def _parsed(text: str) -> OnCallConfig:
    return OnCallConfig.model_validate(json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A span of time with the rota that was, or will be, in force."""

    window: Window
    oncall: OnCallConfig


def text_of(oncall: OnCallConfig) -> str:
    """A section as it is kept: every key, defaults included, in one order."""
    return json.dumps(oncall.model_dump(mode="json"), sort_keys=True)


def record_version(
    db: Database,
    oncall: OnCallConfig,
    now: datetime,
    actor: Actor,
    *,
    owners: Owners | None = None,
    follows: int | None = None,
) -> bool:
    """Keep a rota that is in force from now on; False if it is the one that was in force before.

    `follows` is the id of the version that was looked at, 0 for none before it; without it, whichever there is.

    Raises:
        Conflict: another version came first; names whose.
    """
    text, owned = text_of(oncall), (owners or Owners()).as_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    with db.write() as connection:
        db.one_at_a_time(connection, RECORDING)
        last = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).first()
        if last is not None and last.digest == digest and last.owners == owned:
            return False
        if follows is not None and (last.id if last else 0) != follows:
            whose = _version(last).described if last else "none"
            raise Conflict(f"another version of the rota is in force now ({whose}): look at it, then try again")
        # Versions follow each other, whatever the clock does.
        at = to_micros(now) if last is None else max(to_micros(now), last.at + 1)
        connection.execute(insert(table).values(at=at, digest=digest, actor=actor.name, body=text, owners=owned))
        file_owned.keep(connection, oncall, now)
        record_audit(connection, now, actor, "rota.change", "oncall", f"sha256 {digest[:16]}")
    return True


def versions(db: Database) -> tuple[RotaVersion, ...]:
    """Every version, oldest first."""
    with db.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    return tuple(map(_version, rows))


def newest(db: Database) -> RotaVersion | None:
    """The version in force; None before the first."""
    with db.read() as connection:
        row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).first()
    return _version(row) if row else None


def newest_id(db: Database) -> int:
    """The id of the version in force; 0 before the first."""
    with db.read() as connection:
        return int(connection.scalar(select(func.max(table.c.id))) or 0)


def newest_mark(db: Database) -> tuple[int, int]:
    """What tells the version in force from any other: a database put back from a backup counts ids again."""
    with db.read() as connection:
        row = connection.execute(select(table.c.id, table.c.at).order_by(table.c.id.desc()).limit(1)).first()
    return (row.id, row.at) if row else (0, 0)


def _version(row: Any) -> RotaVersion:
    owners = Owners.read(row.owners)
    return RotaVersion(id=row.id, since=from_micros(row.at), by=row.actor, text=row.body, owners=owners)


def parts_of(known: Sequence[RotaVersion], oncall: OnCallConfig, window: Window, now: datetime) -> tuple[Part, ...]:
    """A window in parts, each with the rota of its time; `oncall` is the file's, for what lies ahead of `now`.

    What lies before the first version has the first one. A version that cannot be read is left out.
    """
    begins: list[tuple[datetime, OnCallConfig]] = []
    for version in reversed([version for version in known if version.since < now]):
        with contextlib.suppress(StateError):
            begins.insert(0, (version.since, version.oncall))
        if begins and begins[0][0] <= window.start:
            break
    begins.append((now if begins else window.start, oncall))
    parts: list[Part] = []
    for number, (since, rota) in enumerate(begins):
        start = window.start if number == 0 else max(since, window.start)
        end = min(begins[number + 1][0], window.end) if number + 1 < len(begins) else window.end
        if start >= end:
            continue
        if parts and text_of(parts[-1].oncall) == text_of(rota):
            parts[-1] = replace(parts[-1], window=Window(start=parts[-1].window.start, end=end))
        else:
            parts.append(Part(window=Window(start=start, end=end), oncall=rota))
    return tuple(parts)


def rota_at(known: Sequence[RotaVersion], oncall: OnCallConfig, at: datetime, now: datetime) -> OnCallConfig:
    """The rota at an instant; `oncall` as in `parts_of`."""
    instant = Window(start=at, end=at + timedelta(microseconds=1))
    return parts_of(known, oncall, instant, now)[0].oncall


def shifts_over(parts: Sequence[Part], schedule_id: str, overrides: Sequence[Override]) -> tuple[Shift, ...]:
    """The schedule as it was and will be, one shift after the other. Where a rota did not have it, it has a gap."""
    shifts: list[Shift] = []
    for part in parts:
        if any(schedule.id == schedule_id for schedule in part.oncall.schedules):
            found = final_schedule(part.oncall, schedule_id, part.window, overrides)
        else:
            found = (Shift(start=part.window.start, end=part.window.end, person=None, source="gap"),)
        for shift in found:
            last = shifts[-1] if shifts else None
            if last and (_id(last), last.source) == (_id(shift), shift.source):
                shifts[-1] = replace(shift, start=last.start)
            else:
                shifts.append(shift)
    return tuple(shifts)


def _id(shift: Shift) -> Any:
    return shift.person.id if shift.person else None
