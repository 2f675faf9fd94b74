"""Silences and overrides that stand in the configuration file: kept as the others are, in the transaction of a version.

What the file has no longer ends with the version that lacks it; what it has in another form ends, and begins in that
form. What is past stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, func, select, update

from alerting.oncall.schedule import schedule_of
from alerting.oncall.turns import instant
from watchkeeper.config import OnCallConfig
from watchkeeper.config_oncall import OverrideConfig, SilenceConfig
from watchkeeper.state.database import to_micros
from watchkeeper.state.file_owned import OWNER, PREFIX
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import overrides, silences, timers
from watchkeeper.vocabulary import content_key


def keep(connection: Connection, oncall: OnCallConfig, now: datetime) -> None:
    """Make the rows of the file what a version says, from now on."""
    moment = to_micros(now)
    silences_wanted = [_silence(one) for one in oncall.silences]
    _keep_silences(connection, {row["id"]: row for row in silences_wanted}, moment)
    overrides_wanted = [_override(oncall, one) for one in oncall.overrides]
    _keep_overrides(connection, {row["id"]: row for row in overrides_wanted}, moment)


def _keep_silences(connection: Connection, wanted: Mapping[str, Mapping[str, Any]], moment: int) -> None:
    kept = set(connection.scalars(select(silences.c.id).where(_owned(silences), silences.c.end > moment)))
    gone = kept - wanted.keys()
    for silence_id in sorted(gone):
        connection.execute(update(silences).where(silences.c.id == silence_id).values(end=moment))
    if gone:
        # Each is judged anew when its timer fires: another silence may match it, too.
        waiting = (timers.c.kind == "silence") & timers.c.done_at.is_(None)
        connection.execute(update(timers).where(waiting).values(due_at=moment))
    for silence_id, row in wanted.items():
        if row["end"] > moment and silence_id not in kept and not insert_new(connection, silences, row):
            connection.execute(update(silences).where(silences.c.id == silence_id).values(end=row["end"]))


def _keep_overrides(connection: Connection, wanted: Mapping[str, Mapping[str, Any]], moment: int) -> None:
    rows = connection.execute(select(overrides).where(_owned(overrides), overrides.c.end > moment)).all()
    for row in rows:
        if row.id.rpartition("-")[0] in wanted:
            continue
        same = overrides.c.id == row.id
        if row.start >= moment:
            connection.execute(delete(overrides).where(same))
        else:
            connection.execute(update(overrides).where(same).values(end=moment))
    kept = {row.id.rpartition("-")[0] for row in rows}
    for override_id, given in wanted.items():
        if given["end"] <= moment or override_id in kept:
            continue
        last = connection.scalar(select(func.max(overrides.c.at))) or 0
        made_at = max(moment, last + 1)  # the later made wins, whatever the clock does
        # One that ended and is back is another one: between them, it was not in force.
        new = {**given, "id": f"{override_id}-{made_at}", "start": max(given["start"], moment), "at": made_at}
        insert_new(connection, overrides, new)


def _owned(table: Any) -> Any:
    return table.c.id.startswith(PREFIX, autoescape=True)


def _silence(given: SilenceConfig) -> Mapping[str, Any]:
    zone = ZoneInfo(given.timezone)
    start, end = (to_micros(instant(datetime.fromisoformat(text), zone)) for text in (given.start, given.end))
    service, kind, label = given.service or "", given.kind or "", given.label or ""
    key = content_key(given.id, service, kind, label, given.reason, str(start), str(end))
    return {
        "id": f"{PREFIX}{key}",
        "service": service,
        "kind": kind,
        "label": label,
        "owner": OWNER,
        "reason": given.reason,
        "start": start,
        "end": end,
    }


def _override(oncall: OnCallConfig, given: OverrideConfig) -> Mapping[str, Any]:
    zone = ZoneInfo(given.timezone or schedule_of(oncall, given.schedule).timezone)
    start, end = (to_micros(instant(datetime.fromisoformat(text), zone)) for text in (given.start, given.end))
    return {
        "id": f"{PREFIX}{content_key(given.id, given.schedule, given.person, str(start), str(end))}",
        "schedule": given.schedule,
        "person": given.person,
        "start": start,
        "end": end,
        "author": OWNER,
    }
