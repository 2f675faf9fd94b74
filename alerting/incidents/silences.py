"""Silences: rows that say which pages are suppressed for a time, by whom and why. They suppress pages, never data.

A silence matches a finding by its service, its kind, or a label of an alert from outside; what is given must all match.
An incident is silenced while each of its findings that fire and page is matched. Acknowledgements, resolves and
recoveries pass. What still fires when the last silence ends pages then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, get_args
from uuid import uuid4

from sqlalchemy import Connection, select, update

from alerting.incidents.machine import Incident
from watchkeeper.config_oncall import LONGEST_SILENCE
from watchkeeper.durations import duration
from watchkeeper.errors import ConfigError, NotFound, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.file_owned import refuse_owned
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import silences as table
from watchkeeper.state.schema import timers
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Actor, Finding, FindingKind, content_key

LONGEST: Final = LONGEST_SILENCE
KINDS: Final[tuple[str, ...]] = get_args(FindingKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """One silence. Empty matchers match everything; `service` may hold `*`, `label` is `name=value`."""

    id: str
    service: str = ""
    kind: str = ""
    label: str = ""
    owner: str
    reason: str
    start: datetime
    end: datetime

    def matches(self, finding: Finding) -> bool:
        """Whether it suppresses the page of a finding.

        >>> from datetime import UTC
        >>> at = datetime(2026, 1, 1, tzinfo=UTC)
        >>> silence = Silence(id="s", service="shop-*", owner="ana", reason="move", start=at, end=at)
        >>> finding = Finding(
        ...     detector="d",
        ...     detector_version="1",
        ...     kind="errors",
        ...     service="shop-cart",
        ...     summary="s",
        ...     onset=at,
        ...     seen_at=at,
        ...     score=1.0,
        ... )
        >>> silence.matches(finding)
        True
        """
        if self.service and not fnmatchcase(finding.service, self.service):
            return False
        if self.kind and finding.kind != self.kind:
            return False
        labels = finding.alert.labels if finding.alert else ""
        return not self.label or f",{self.label}," in f",{labels},"

    @property
    def described(self) -> str:
        """`service shop-*, kind errors`."""
        named = (("service", self.service), ("kind", self.kind), ("label", self.label))
        return ", ".join(f"{name} {seen_name(value)}" for name, value in named if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Why an incident pages nobody: until when, in words, and the burns of objectives that go unpaged with it."""

    until: datetime
    text: str


def new_silence(
    *, service: str, kind: str, label: str, reason: str, start: datetime, end: datetime, owner: Actor, key: str = ""
) -> Silence:
    """A silence as somebody wants it. With the same `key` it has the same id.

    Raises:
        ConfigError: it matches everything, has no reason, or no end that is near enough.
    """
    if not (service or kind or label):
        raise ConfigError("a silence needs a service, a kind or a label: one that matches everything hides everything")
    if kind and kind not in KINDS:
        raise ConfigError(f"kind {one_line(kind, 40)}: must be one of {', '.join(KINDS)}")
    if label and not all(label.partition("=")):
        raise ConfigError(f"label {one_line(label, 60)}: must be name=value")
    if not reason.strip():
        raise ConfigError("a silence needs a reason: whoever is on call next must know why nothing pages")
    if not start < end <= start + LONGEST:
        raise ConfigError(f"a silence must end after it starts, within {LONGEST.days} days")
    return Silence(
        id=f"sil-{content_key('silence', key) if key else uuid4().hex[:8]}",
        service=one_line(service, 255) if service else "",
        kind=kind,
        label=one_line(label, 255) if label else "",
        owner=owner.name,
        reason=one_line(reason, 1000),
        start=start,
        end=end,
    )


def add_silence(db: Database, silence: Silence, actor: Actor, now: datetime) -> bool:
    """Keep a silence; False when one of its id is kept already. What it matches pages nobody from now on."""
    row = {
        "id": silence.id,
        "service": silence.service,
        "kind": silence.kind,
        "label": silence.label,
        "owner": silence.owner,
        "reason": silence.reason,
        "start": to_micros(silence.start),
        "end": to_micros(silence.end),
    }
    with db.write() as connection:
        if not insert_new(connection, table, row):
            return False
        detail = f"{silence.described} until {silence.end:%Y-%m-%d %H:%M} UTC: {silence.reason}"
        record_audit(connection, now, actor, "silence.add", silence.id, detail)
    return True


def end_silence(db: Database, silence_id: str, actor: Actor, now: datetime) -> Silence:
    """End a silence now. What it alone suppressed, and still fires, pages within a second.

    Raises:
        Conflict: the configuration file owns it.
        NotFound: no such silence.
        StateError: it is over already.
    """
    refuse_owned("silence", silence_id, "oncall.silences")
    with db.write() as connection:
        row = connection.execute(select(table).where(table.c.id == silence_id).with_for_update()).first()
        if row is None:
            raise NotFound(f"no silence {one_line(silence_id, 40)}; see `watchkeeper silence list`")
        if row.end <= to_micros(now):
            raise StateError(f"silence {silence_id} ended at {from_micros(row.end):%Y-%m-%d %H:%M} UTC already")
        connection.execute(update(table).where(table.c.id == silence_id).values(end=to_micros(now)))
        # Each is judged anew when its timer fires: another silence may match it, too.
        waiting = (timers.c.kind == "silence") & timers.c.done_at.is_(None)
        connection.execute(update(timers).where(waiting).values(due_at=to_micros(now)))
        record_audit(connection, now, actor, "silence.end", silence_id, row.reason)
    return _silence(row)


def list_silences(db: Database, now: datetime, *, ended: bool = False, limit: int = 500) -> tuple[Silence, ...]:
    """The silences that are in force or to come, those that end first before the others; with `ended`, all."""
    query = select(table).order_by(table.c.end, table.c.id).limit(limit)
    if not ended:
        query = query.where(table.c.end > to_micros(now))
    with db.read() as connection:
        return tuple(_silence(row) for row in connection.execute(query))


def in_force(connection: Connection, at: datetime) -> tuple[Silence, ...]:
    """The silences that suppress pages at a time."""
    moment = to_micros(at)
    query = select(table).where(table.c.start <= moment, table.c.end > moment).order_by(table.c.id)
    return tuple(_silence(row) for row in connection.execute(query))


def cover(incident: Incident, silences: Sequence[Silence]) -> Cover | None:
    """What suppresses the pages of an incident; None where something of it that fires is not silenced."""
    keys = incident.counting_keys & incident.firing_keys
    # What has recovered before anybody was paged is judged by all that it had.
    loud = [one for one in incident.findings if one.key in (keys or incident.counting_keys)]
    if not loud or not silences:
        return None
    last: dict[str, Silence] = {}
    for finding in loud:
        matching = [silence for silence in silences if silence.matches(finding)]
        if not matching:
            return None
        last[finding.key] = max(matching, key=lambda silence: silence.end)
    first = min(last.values(), key=lambda silence: (silence.end, silence.id))
    text = f"{first.owner} silenced it until {first.end:%Y-%m-%d %H:%M} UTC ({first.described}): {first.reason}"
    burns = [one.summary for one in loud if one.kind == "slo"]
    if burns:
        text += f"; nobody is paged while an objective's budget burns: {'; '.join(burns[:3])}"
    return Cover(until=first.end, text=text)


def hidden_burns(silence: Silence, incidents: Sequence[Incident]) -> tuple[str, ...]:
    """The burns of objectives that fire now, and that a silence keeps from paging."""
    return tuple(
        finding.summary
        for incident in incidents
        for finding in incident.findings
        if finding.kind == "slo" and finding.key in incident.firing_keys and silence.matches(finding)
    )


def facts(silence: Silence) -> dict[str, str]:
    """What a script may want to know of a silence."""
    return asdict(silence) | {"start": silence.start.isoformat(), "end": silence.end.isoformat()}


def left(silence: Silence, now: datetime) -> str:
    """`ends in 2 h`, `begins in 10 min`."""
    if silence.end <= now:
        return "over"
    begun = silence.start <= now
    return f"{'ends' if begun else 'begins'} in {duration((silence.end if begun else silence.start) - now)}"


def _silence(row: Any) -> Silence:
    return Silence(
        id=row.id,
        service=row.service,
        kind=row.kind,
        label=row.label,
        owner=row.owner,
        reason=row.reason,
        start=from_micros(row.start),
        end=from_micros(row.end),
    )
