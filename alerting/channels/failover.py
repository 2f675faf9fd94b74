"""A page that its channel has not delivered in time goes out by the next one.

The next is, of the same person: what their notification rules hold later, then a channel with an address of theirs
that no rule names. Where there is none, each other channel pages whomever it reaches. The late page stays: it is
tried until it is delivered, since a second page is better than none. All that a late page causes, and the line in the
timeline that says so, is one transaction. No channel is called here, so one that hangs cannot delay it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from alerting.channels.outbox import FAILS_OVER_AFTER, Draft, page_row
from alerting.channels.routing import Routing, Way
from alerting.incidents import journal
from alerting.incidents.machine import QUIET, Command
from alerting.oncall.escalation import MACHINE
from watchkeeper.errors import Conflict
from watchkeeper.problems import Problems
from watchkeeper.state.chunks import chunks
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import insert_all_new
from watchkeeper.state.schema import outbox
from watchkeeper.text import one_line

FAILED_OVER: Final = Counter(
    "watchkeeper_failovers_total", "Pages that a channel did not deliver in time, by that channel.", ["channel"]
)
# Records commands of the machine's by incident, in the transaction of what they tell of.
Record = Callable[[Connection, Mapping[str, Command]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late:
    """A page that is late, and the other pages of the same event for the same person."""

    row: Any
    draft: Draft
    others: tuple[tuple[Any, Draft], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Next:
    """What takes a late page over: a row that is due now, or new ones, and a sentence about it."""

    hurried: int | None = None
    draft: Draft | None = None
    added: tuple[Mapping[str, Any], ...] = ()
    channels: tuple[str, ...] = ()
    text: str = ""


def fail_over(db: Database, routing: Routing, record: Record, now: datetime, problems: Problems) -> int:
    """Hand every page that is late to the next channel; returns how many were late."""
    waiting = outbox.c.sent_at.is_(None) & (outbox.c.fails_over_at <= to_micros(now))
    with db.read() as connection:
        late = list(connection.scalars(select(outbox.c.id).where(waiting).order_by(outbox.c.id)))
    for ids in chunks(late):
        try:
            _take_over(db, ids, routing, record, now)
        except Conflict:
            continue  # somebody acts on one of the incidents at this moment; the next round comes soon
        except Exception:  # noqa: BLE001 - one that cannot be recorded must not keep the others
            for attempt in problems.each("outbox", ids, lambda row_id: f"failover of message {row_id}"):
                with attempt as row_id:
                    _take_over(db, [row_id], routing, record, now)
    return len(late)


def _take_over(db: Database, row_ids: Sequence[int], routing: Routing, record: Record, now: datetime) -> None:
    with db.write() as connection:
        lines: dict[str, Command] = {}
        taken: dict[tuple[str, str], set[str]] = {}  # channels that page already, by event and person
        late = _late(connection, row_ids, now)
        incidents = journal.load_many(connection, list({page.row.incident_id for page in late}))
        for page in late:
            incident = incidents.get(page.row.incident_id)
            if incident and incident.human_state in QUIET:
                continue
            used = taken.setdefault((_event(page.row.key), page.draft.person), set())
            following = _next(page, used, routing, now)
            used.update(following.channels)
            insert_all_new(connection, outbox, following.added)
            if following.draft:
                times = {"due_at": to_micros(now), "fails_over_at": to_micros(now + FAILS_OVER_AFTER)}
                hurried = update(outbox).where(outbox.c.id == following.hurried, outbox.c.sent_at.is_(None))
                connection.execute(hurried.values(body=dump(following.draft), **times))
            if following.text and incident:
                # An incident whose record cannot be read has no timeline; its page goes on all the same.
                key = f"undelivered:failover:{page.row.key}"
                line = Command(type="undelivered", at=now, actor=MACHINE, key=key, text=following.text)
                lines.setdefault(incident.id, line)
        connection.execute(update(outbox).where(outbox.c.id.in_(row_ids)).values(fails_over_at=None))
        record(connection, lines)
    for page in late:
        FAILED_OVER.labels(page.row.channel).inc()


def _late(connection: Connection, row_ids: Sequence[int], now: datetime) -> list[_Late]:
    waiting = outbox.c.sent_at.is_(None) & (outbox.c.fails_over_at <= to_micros(now))
    rows = connection.execute(select(outbox).where(waiting, outbox.c.id.in_(row_ids)).order_by(outbox.c.id)).all()
    by_event: dict[str, list[tuple[Any, Draft]]] = {}
    for ids in chunks(list({row.incident_id for row in rows})):
        for row in connection.execute(select(outbox).where(outbox.c.incident_id.in_(ids)).order_by(outbox.c.id)):
            if (draft := _page_of(row)) is not None:
                by_event.setdefault(_event(row.key), []).append((row, draft))
    late = []
    for row in rows:
        draft = _page_of(row)
        if draft is not None:
            same = [(other, its) for other, its in by_event[_event(row.key)] if its.person == draft.person]
            others = tuple((other, its) for other, its in same if other.id != row.id)
            late.append(_Late(row=row, draft=draft, others=others))
    return late


def _page_of(row: Any) -> Draft | None:
    try:
        draft = parse(Draft, row.body)
    except ValueError:
        return None
    return draft if draft.kind == "page" else None


def _event(key: str) -> str:
    """The event of a page: its incident and version, with which its key begins."""
    incident, _, rest = key.partition(":")
    return f"{incident}:{rest.partition(':')[0].partition('.')[0]}"


def _next(late: _Late, used: set[str], routing: Routing, now: datetime) -> _Next:
    """What pages in the place of a late page; nothing where another channel has paged, or is about to."""
    row, draft, moment = late.row, late.draft, to_micros(now)
    person = routing.oncall.person(draft.person)
    name = person.name if person else draft.person
    why = f" ({one_line(row.error, 200)})" if row.error else ""
    trouble = f"{row.channel} has not delivered the page to {name}{why}"
    instead = replace(draft, text=f"{draft.text}; {trouble}", after_s=0.0)
    elsewhere = [(other, its) for other, its in late.others if other.channel != row.channel]
    unsent = [(other, its) for other, its in elsewhere if other.sent_at is None]
    later = [other for other, its in unsent if its.after_s and other.due_at > moment]
    if later:
        first = min(later, key=lambda other: (other.due_at, other.id))
        text = f"{trouble}: {first.channel} pages them now"
        return _Next(hurried=first.id, draft=instead, channels=(first.channel,), text=text)
    delivered = any(other.sent_at is not None and not other.error for other, _ in elsewhere)
    if delivered or any((other.fails_over_at or 0) > moment for other, _ in unsent):
        return _Next()
    known = {row.channel, *used, *(other.channel for other, _ in late.others)}
    ways = [way for way in routing.addresses(person) if way.channel not in known][:1] if person else []
    whom = "them"
    if not ways:
        ways = [Way(channel=channel, address="") for channel in routing.channels if channel not in known]
        whom = "whoever is reached there"
    rows = [page_row(way, f"{row.key}:{way.channel}", row.incident_id, instead, now) for way in ways]
    names = tuple(way.channel for way in ways)
    text = f"{trouble}: paged {whom} by {' and '.join(names)}" if names else ""
    return _Next(added=tuple(rows), channels=names, text=text)
