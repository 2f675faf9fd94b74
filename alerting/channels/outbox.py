"""Messages that were decided in a transaction and still have to be sent: how they are kept.

A row is for one channel and one address, and no channel waits for another. Each is sent at least once, with a key that
the channel knows again: a kill between the send and its record leads to a second try, which the channel recognises. A
failure is tried again, ever more slowly; a page is never given up. `alerting.channels.delivery` sends them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

from sqlalchemy import Connection, case, func, select, update

from alerting.channels.channel import NoticeButton, Thread
from alerting.channels.routing import Routing, Way
from alerting.incidents.machine import Event, Incident
from watchkeeper.durations import backoff_s
from watchkeeper.problems import Problems
from watchkeeper.state.chunks import chunks
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import insert_all_new, insert_new
from watchkeeper.state.schema import incidents, messages, outbox
from watchkeeper.vocabulary import CANARY

LOOP: Final = "outbox"
NEVER: Final[Mapping[str, datetime]] = MappingProxyType({})
TICKETS: Final = "tickets"  # stands where a message or a timer has its incident, if it is about all open tickets
# How long a worker has for one send; a channel's own time-outs must be shorter. After a kill it is the delay.
LEASE: Final = timedelta(seconds=20)
# After the first failure, and at most: a page is late by no more than a minute once its channel works again.
FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 60.0
# A page that a channel has not delivered for so long goes out by another one, within ten seconds more: see `failover`.
FAILS_OVER_AFTER: Final = timedelta(seconds=20)
# A page of a later rule that waits for a recovered incident to fire again is looked at this often all the same.
HELD: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as the outbox keeps it: what is current is read when it is sent.

    `step` is the escalation's, `after_s` how long after the page the person's notification rule sends it.
    `names` are the people and schedules of the escalation, those of the page's own step first. `choices` are the
    buttons of a reminder, `place` is where in the channel it is posted; empty: where everything is.
    """

    kind: Literal["page", "update", "digest", "reminder", "picture"]
    person: str = ""
    title: str = ""
    text: str = ""
    step: int = 0
    after_s: float = 0.0
    names: tuple[str, ...] = ()
    choices: tuple[NoticeButton, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A message that waits, for one channel.

    `address` is whom it was decided to page there; who is paged is decided anew when it is sent. `batch` names the
    gathered message that it was part of at an earlier try; empty where the channel certainly has nothing of it,
    whatever was tried.
    """

    id: int
    key: str
    incident_id: str
    address: str
    draft: Draft
    created_at: int
    attempts: int
    batch: str | None


def put_page(connection: Connection, incident: Incident, event: Event, routing: Routing, *, also: str = "") -> None:
    """Page the person of an event about an incident, by their notification rules.

    The other channels show it to whoever reads them. `also` names somebody else who is paged for the same event.
    """
    insert_all_new(connection, outbox, list(_rows_for_all(incident, event, routing, also)))


def put_pages(connection: Connection, pages: Sequence[tuple[Incident, Event]], routing: Routing) -> None:
    """Page for many events at once."""
    insert_all_new(connection, outbox, [row for page in pages for row in _rows_for_all(*page, routing)])


def _rows_for_all(incident: Incident, event: Event, routing: Routing, also: str = "") -> Iterator[Mapping[str, Any]]:
    """The rows for an event's person, and for those who are paged with them; `also` as in `put_page`."""
    yield from _page_rows(incident, event, routing, also)
    for person in () if also else event.also:
        yield from _page_rows(incident, event, routing, person)


def _page_rows(incident: Incident, event: Event, routing: Routing, also: str = "") -> Iterator[Mapping[str, Any]]:
    if incident.is_canary:
        yield _canary_row(incident, event, routing.canary)
        return
    names = incident.chain.names_from(event.step) if incident.chain else ()
    person = also or event.person
    ways = routing.ways(person)
    for way in ways:
        # The first way by a channel takes the key that an update would have there.
        again = any(other.channel == way.channel for other in ways[: way.rule])
        version = f"{incident.version}.{way.rule}" if way.after_s or again else str(incident.version)
        key = f"{incident.id}:{version}:{way.channel}" + (f":{also}" if also else "")
        draft = Draft(kind="page", person=person, text=event.text, step=event.step, names=names, after_s=way.after_s)
        yield page_row(way, key, incident.id, draft, event.at)
    at_once = {way.channel for way in ways if not way.after_s}
    for channel in routing.channels if not also else ():
        if channel not in at_once:
            key = f"{incident.id}:{incident.version}:{channel}"
            yield _row(channel, key, incident.id, Draft(kind="update", text=event.text), event.at)


def _canary_row(incident: Incident, event: Event, way: Way) -> Mapping[str, Any]:
    """The page of Watchkeeper's own alert: late, it fails over to nobody."""
    key = f"{incident.id}:{incident.version}:{way.channel}"
    draft = Draft(kind="page", person=CANARY, text=event.text)
    return _row(way.channel, key, incident.id, draft, event.at, address=way.address)


def page_row(way: Way, key: str, incident_id: str, draft: Draft, at: datetime) -> Mapping[str, Any]:
    """A page that is due when its rule says; late, it fails over."""
    due = at + timedelta(seconds=way.after_s)
    row = _row(way.channel, key, incident_id, draft, at, address=way.address)
    return {**row, "due_at": to_micros(due), "fails_over_at": to_micros(due + FAILS_OVER_AFTER)}


def cancel_rules(connection: Connection, incident_id: str, now: datetime, why: str) -> None:
    """End the notification rules of an incident whose time has not come, in the transaction of what ends them."""
    later = (outbox.c.incident_id == incident_id) & outbox.c.sent_at.is_(None) & (outbox.c.attempts == 0)
    is_page = outbox.c.fails_over_at.is_not(None)
    ended = update(outbox).where(later, is_page, outbox.c.due_at > to_micros(now))
    connection.execute(ended.values(sent_at=to_micros(now), error=why))


def put_updates(connection: Connection, news: Sequence[tuple[Incident, Event]], routing: Routing) -> None:
    """Show what is new in each incident's message, in each channel."""
    rows = [
        _row(
            channel,
            f"{incident.id}:{incident.version}:{channel}",
            incident.id,
            Draft(kind="update", text=event.text),
            event.at,
        )
        for incident, event in news
        for channel in routing.channels
    ]
    insert_all_new(connection, outbox, rows)


def put_digest(connection: Connection, key: str, channels: Sequence[str], at: datetime) -> None:
    """Show the open tickets in each channel; one that still waits from before is overtaken."""
    for channel in channels:
        _insert(connection, channel, f"{key}:{channel}", TICKETS, Draft(kind="digest"), at)


def put_reminder(
    connection: Connection, key: str, subject: str, channel: str, address: str, reminder: Draft, at: datetime
) -> None:
    """Remind one address of something that has an id of its own, `subject`."""
    insert_new(connection, outbox, _row(channel, key, subject, reminder, at, address=address))


def pictures_of(channel: str) -> str:
    """What stands in place of a channel's name for the pictures that it shows: no worker of messages sees them."""
    return f"{channel}:pictures"


def put_picture(db: Database, channel: str, incident_id: str, shown: str, most: int, at: datetime) -> bool:
    """Show a picture of an incident, each once, and at most so many; says whether it is new."""
    place = pictures_of(channel)
    known = select(func.count()).where(outbox.c.incident_id == incident_id, outbox.c.channel == place)
    with db.write() as connection:
        if (connection.scalar(known) or 0) >= most:
            return False
        row = _row(
            place, f"{incident_id}:picture:{shown}:{channel}", incident_id, Draft(kind="picture", text=shown), at
        )
        return insert_new(connection, outbox, row)


def withdraw(connection: Connection, subject: str, now: datetime, why: str) -> None:
    """Drop what waits about something; what a worker is sending goes out."""
    waiting = (outbox.c.incident_id == subject) & outbox.c.sent_at.is_(None) & (outbox.c.leased_until <= to_micros(now))
    connection.execute(update(outbox).where(waiting).values(sent_at=to_micros(now), error=why))


def _insert(connection: Connection, channel: str, key: str, incident_id: str, draft: Draft, at: datetime) -> None:
    insert_new(connection, outbox, _row(channel, key, incident_id, draft, at))


def _row(
    channel: str, key: str, incident_id: str, draft: Draft, at: datetime, *, address: str = ""
) -> Mapping[str, Any]:
    return {
        "key": key,
        "incident_id": incident_id,
        "channel": channel,
        "address": address,
        "body": dump(draft),
        "created_at": to_micros(at),
        "due_at": to_micros(at),
        "leased_until": 0,
        "attempts": 0,
        "fails_over_at": None,
    }


def thread_of(connection: Connection, incident_id: str, channel: str) -> Thread | None:
    """Where an incident's messages are in a channel."""
    query = select(messages).where(messages.c.incident_id == incident_id, messages.c.channel == channel)
    row = connection.execute(query).first()
    return Thread(conversation=row.conversation, ts=row.ts) if row else None


def incidents_at(connection: Connection, channel: str, thread: Thread) -> tuple[str, ...]:
    """The incidents that one message of a channel shows: one, or those that were gathered in it."""
    place = (messages.c.conversation == thread.conversation) & (messages.c.ts == thread.ts)
    query = select(messages.c.incident_id).where(place, messages.c.channel == channel)
    return tuple(connection.scalars(query.order_by(messages.c.incident_id)))


def incidents_of_batch(connection: Connection, batch: str) -> tuple[str, ...]:
    """The incidents whose pages went out together."""
    query = select(outbox.c.incident_id).where(outbox.c.batch == batch).distinct()
    return tuple(connection.scalars(query.order_by(outbox.c.incident_id)))


def batch_of(connection: Connection, channel: str, incident_id: str) -> str:
    """The first gathered message of a channel that an incident's page was part of, or nothing."""
    gathered = (outbox.c.incident_id == incident_id) & (outbox.c.batch > "")
    query = select(outbox.c.batch).where(gathered, outbox.c.channel == channel)
    return str(connection.scalar(query.order_by(outbox.c.id).limit(1)) or "")


def others_were_tried(connection: Connection, channel: str, row: Pending) -> bool:
    """Whether another message of an incident may have reached the channel without our having recorded it."""
    query = select(outbox.c.id).where(
        outbox.c.channel == channel,
        outbox.c.incident_id == row.incident_id,
        outbox.c.id != row.id,
        outbox.c.sent_at.is_(None),
        outbox.c.attempts > 0,
        func.coalesce(outbox.c.batch, "-") != "",
    )
    return connection.execute(query.limit(1)).first() is not None


def due(db: Database, channel: str, now: datetime, problems: Problems) -> tuple[list[Pending], list[Pending]]:
    """What waits for a channel and is due and free, oldest first: pages, and the updates that are still current.

    Each message shows what is current, so of an incident's updates only the newest is sent; those that a newer
    message overtakes are dropped. Their text, a line in the thread, is dropped with them: the timeline has them all. A
    row that cannot be read is set aside and put off; the others go on.
    """
    moment = to_micros(now)
    waiting = outbox.c.sent_at.is_(None) & (outbox.c.channel == channel)
    query = select(outbox).where(waiting, outbox.c.due_at <= moment, outbox.c.leased_until <= moment)
    with db.read() as connection:
        rows = list(connection.execute(query.order_by(outbox.c.id)))
        if not rows:
            return [], []
        # What is not due yet overtakes nothing: it would come later.
        current = waiting & ((outbox.c.due_at <= moment) | (outbox.c.attempts > 0))
        last = select(outbox.c.incident_id, func.max(outbox.c.id).label("last")).where(current)
        newest = {row.incident_id: row.last for row in connection.execute(last.group_by(outbox.c.incident_id))}
    pages: list[Pending] = []
    updates: list[Pending] = []
    overtaken: list[int] = []
    for row in rows:
        try:
            pending = _pending(row)
        except ValueError as error:
            problems.report(LOOP, row.key, f"it cannot be read: {error}")
            put_off(db, row.id, row.attempts, now, f"unreadable: {error}")
            continue
        if pending.draft.kind == "page":
            pages.append(pending)
        elif newest[row.incident_id] == row.id:
            updates.append(pending)
        else:
            overtaken.append(row.id)
    drop(db, overtaken, now, "overtaken by a newer update")
    return pages, updates


def _pending(row: Any) -> Pending:
    return Pending(
        id=row.id,
        key=row.key,
        incident_id=row.incident_id,
        address=row.address,
        draft=parse(Draft, row.body),
        created_at=row.created_at,
        attempts=row.attempts,
        batch=row.batch,
    )


def drop(db: Database, row_ids: Sequence[int], now: datetime, why: str) -> None:
    """Messages that will not be sent, and the reason. One that another worker is sending stays."""
    if row_ids:
        values = {"sent_at": to_micros(now), "error": why}
        with db.write() as connection:
            for ids in chunks(row_ids):
                unclaimed = outbox.c.id.in_(ids) & (outbox.c.leased_until <= to_micros(now))
                connection.execute(update(outbox).where(unclaimed).values(**values))


def grant_time(db: Database, now: datetime) -> None:
    """Pages that waited while nobody ran are not late yet: each channel has its time from now on."""
    late = outbox.c.sent_at.is_(None) & (outbox.c.fails_over_at < to_micros(now + FAILS_OVER_AFTER))
    with db.write() as connection:
        connection.execute(update(outbox).where(late).values(fails_over_at=to_micros(now + FAILS_OVER_AFTER)))


def hold(db: Database, rows: Sequence[Pending], now: datetime) -> None:
    """Pages that wait for their incident, which has recovered, to fire again; `release` ends the wait."""
    due = to_micros(now + HELD)
    values = {"due_at": due, "fails_over_at": due + FAILS_OVER_AFTER // timedelta(microseconds=1)}
    if not rows:
        return
    with db.write() as connection:
        for part in chunks(rows):
            # Locked until the end: whoever has it fire again at this moment comes before this, or after.
            own = select(incidents.c.id).where(incidents.c.id.in_({row.incident_id for row in part}))
            over = set(connection.scalars(own.where(incidents.c.system_state == "recovered").with_for_update()))
            held = [row.id for row in part if row.incident_id in over]
            waiting = outbox.c.id.in_(held) & outbox.c.sent_at.is_(None)
            connection.execute(update(outbox).where(waiting).values(**values))


def release(connection: Connection, incident_ids: Sequence[str], now: datetime) -> None:
    """The pages of incidents that fire again are due as their rules say, in the transaction of that."""
    waiting = select(outbox).where(outbox.c.sent_at.is_(None), outbox.c.attempts == 0)
    rows = [
        row for ids in chunks(incident_ids) for row in connection.execute(waiting.where(outbox.c.incident_id.in_(ids)))
    ]
    for row in rows:
        try:
            draft = parse(Draft, row.body)
        except ValueError:
            continue  # it may be another version's
        if draft.kind == "page" and draft.after_s:
            due = max(to_micros(now), row.created_at + int(draft.after_s * 1e6))
            late = due + FAILS_OVER_AFTER // timedelta(microseconds=1)
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(due_at=due, fails_over_at=late))


def claim(db: Database, rows: Sequence[Pending], now: datetime, *, batch: str | None = None) -> list[Pending]:
    """Take messages for a while, all that no other worker has; with `batch` they are remembered as gathered."""
    moment = to_micros(now)
    values: dict[str, Any] = {"leased_until": to_micros(now + LEASE), "attempts": outbox.c.attempts + 1}
    if batch:
        values["batch"] = batch
    taken: set[int] = set()
    with db.write() as connection:
        for ids in chunks([row.id for row in rows]):
            free = outbox.c.id.in_(ids) & outbox.c.sent_at.is_(None) & (outbox.c.leased_until <= moment)
            taken.update(connection.scalars(update(outbox).where(free).values(**values).returning(outbox.c.id)))
    return [row for row in rows if row.id in taken]


def record_sent(
    db: Database,
    rows: Sequence[Pending],
    where: Thread,
    channel: str,
    now: datetime,
    again: Mapping[str, datetime] = NEVER,
) -> None:
    """What was sent, and where; a page's details follow as an update of their own.

    An incident that has a message already keeps it: a gathered page is one more place that shows it. `again` names
    the incidents that are to be shown once more, and when.
    """
    moment = to_micros(now)
    with db.write() as connection:
        for ids in chunks([row.id for row in rows]):
            done = update(outbox).where(outbox.c.id.in_(ids))
            connection.execute(done.values(sent_at=moment, error=None))
        # A digest, a reminder or a picture is no place where the incident is shown.
        shown = [row for row in rows if row.draft.kind not in ("digest", "reminder", "picture")]
        place = {"channel": channel} | asdict(where)
        insert_all_new(connection, messages, [{"incident_id": row.incident_id, **place} for row in shown])
        if len(shown) == len(rows) == 1 and shown[0].draft.kind == "page":
            (row,) = shown
            _insert(connection, channel, f"{row.key}:show", row.incident_id, Draft(kind="update"), now)
        for incident_id, at in again.items():
            # One row for each, which begins anew: what fires for days must not fill the table.
            row_of = _row(channel, f"{incident_id}:repeat:{channel}", incident_id, Draft(kind="update"), at)
            if not insert_new(connection, outbox, row_of):
                anew = {"sent_at": None, "error": None, "batch": None, **row_of}
                connection.execute(update(outbox).where(outbox.c.key == row_of["key"]).values(**anew))


def move_thread(db: Database, incident_id: str, where: Thread, channel: str) -> None:
    """An incident's message is somewhere else now: somebody deleted the one before."""
    place = (messages.c.incident_id == incident_id) & (messages.c.channel == channel)
    with db.write() as connection:
        connection.execute(update(messages).where(place).values(conversation=where.conversation, ts=where.ts))


def put_off(
    db: Database,
    row_id: int,
    attempts: int,
    now: datetime,
    why: str,
    *,
    after_s: float | None = None,
    unsent: bool = False,
) -> None:
    """Try a message again later: after `after_s`, or ever more slowly. `unsent`: the channel has nothing of it."""
    wait_s = backoff_s(attempts + 1, FIRST_BACKOFF_S, LONGEST_BACKOFF_S) if after_s is None else after_s
    again: dict[str, Any] = {
        "due_at": to_micros(now + timedelta(seconds=wait_s)),
        "leased_until": 0,
        "error": why[:1000],
        "attempts": attempts + 1,
    }
    if unsent:
        again["batch"] = ""
    # What is tried again too late, another channel takes over now.
    if wait_s > FAILS_OVER_AFTER.total_seconds():
        again["fails_over_at"] = case((outbox.c.fails_over_at.is_(None), None), else_=to_micros(now))
    with db.write() as connection:
        connection.execute(update(outbox).where(outbox.c.id == row_id, outbox.c.sent_at.is_(None)).values(**again))


def reroute(db: Database, channels: Sequence[str], now: datetime) -> int:
    """Pages that wait for a channel which is not in use go out by the others; its updates are dropped.

    In one transaction, so that a kill loses no page. Returns how many pages were put to other channels.
    """
    lost = outbox.c.sent_at.is_(None) & outbox.c.channel.not_in(channels)
    rerouted = 0
    with db.write() as connection:
        for row in connection.execute(select(outbox).where(lost).order_by(outbox.c.id)).all():
            try:
                draft = parse(Draft, row.body)
            except ValueError:
                continue  # it may be another version's, which knows its channel
            if draft.kind == "page":
                rerouted += 1
                wait_s = max(0.0, (row.due_at - to_micros(now)) / 1e6)  # a later rule keeps its time
                for channel in channels:
                    way = Way(channel=channel, address="", after_s=wait_s)
                    insert_new(connection, outbox, page_row(way, f"{row.key}:{channel}", row.incident_id, draft, now))
            elif draft.kind == "reminder":
                for channel in channels[:1]:
                    _insert(connection, channel, f"{row.key}:{channel}", row.incident_id, draft, now)
            why = f"channel {row.channel} is not in use; pages go out by {', '.join(channels)}"
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(sent_at=to_micros(now), error=why))
    return rerouted


def new_batch() -> str:
    """A name for messages that go out together."""
    return f"batch-{secrets.token_hex(8)}"
