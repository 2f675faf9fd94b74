"""Sends what the outbox holds: pages first, a few one by one, a storm of them gathered; then updates.

A message that fails is put off and tried again, ever more slowly, and holds up no other. A page counts as delivered
when the channel took it and it names somebody whom the channel knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from alerting.channels import outbox
from alerting.channels.channel import Channel, Digest, Message, Notice, ShowsNotices, Thread
from alerting.channels.outbox import Draft, Pending
from alerting.channels.pace import Pace
from alerting.channels.plain import OVER, state_of
from alerting.incidents.machine import QUIET, Incident
from alerting.oncall.recipients import Recipient
from watchkeeper.durations import backoff_s, duration
from watchkeeper.errors import DeliveryError, WatchkeeperError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.vocabulary import CANARY

SENT = Counter(
    "watchkeeper_messages_total", "Messages to humans, by channel, kind and outcome.", ["channel", "kind", "outcome"]
)
SECONDS = Histogram("watchkeeper_message_seconds", "From the decision to the delivery of a page.")
RESTS = Gauge("watchkeeper_channel_failing", "1 while a channel fails again and again, and rests.", ["channel"])
# After so many failures one after the other the channel is taken to be down. It is left alone for a while, ever longer,
# but no longer than another channel takes to page instead.
GIVES_UP_AFTER: Final = 3
FIRST_REST_S: Final = 2.0
LONGEST_REST_S: Final = 16.0
# Incidents that one gathered message shows at most, and that are read for it.
GATHERED: Final = 2000
T = TypeVar("T")


class _Stop(Exception):
    """The channel asked to wait, or is down: the rest of the round makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A page that is ready to go."""

    row: Pending
    incident: Incident
    recipients: tuple[Recipient, ...]

    @property
    def mention(self) -> str:
        return self.recipients[0].mention if self.recipients else ""


class PagedIncidents(Protocol):
    """The incidents that are shown. Pages are incidents and the keys of their pages; the same may come twice."""

    def get(self, incident_id: str) -> Incident: ...
    def those(self, incident_ids: Sequence[str]) -> Mapping[str, Incident]: ...
    def list(self, state: str | None, limit: int, severity: str | None) -> Sequence[Incident]: ...
    def all_delivered(self, pages: Sequence[tuple[str, str]], channel: str) -> object: ...
    def all_undelivered(self, pages: Sequence[tuple[str, str]], why: str) -> object: ...


@dataclass(kw_only=True)
class Delivery:
    """One worker's way to a channel, which `name` is the configuration's name of.

    `recipients` gives whom a draft reaches now, best first. With `repeat_s`, incidents that fire are shown again after
    so many seconds.
    """

    db: Database
    channel: Channel
    name: str
    incidents: PagedIncidents
    recipients: Callable[[Draft, datetime], tuple[Recipient, ...]]
    shows_updates: bool = True
    repeat_s: float | None = None
    problems: Problems = field(default_factory=lambda: Problems(None))
    pace: Pace = field(default_factory=Pace)
    _failures: int = 0
    _rests: int = 0
    _began: tuple[datetime, float] | None = None

    def run(self, now: datetime) -> int:
        """Send every message whose time it is; returns how many were sent."""
        self._began = now, time.monotonic()
        self.pace.begin(now)
        if self.pace.pages_wait(now):
            return 0
        self._failures = 0
        sent = 0
        try:
            pages, _ = self._due(now)
            acknowledged: list[Pending] = []
            ready: list[_Page] = []
            recovered: list[Pending] = []
            prepare = self._preparing(pages, now)
            for row in pages:
                page = self._attempt(row, partial(prepare, row), now, is_send=False)
                if page and page.incident.human_state in QUIET:
                    acknowledged.append(row)  # pages nobody any more; it is still shown
                elif page and row.draft.after_s and page.incident.system_state == "recovered":
                    recovered.append(row)  # a later rule pages nobody for what is over, unless it fires again
                elif page:
                    ready.append(page)
            outbox.hold(self.db, recovered, now)
            sent += self._pages(ready, now)
            pages, updates = self._due(now)
            # An incident whose page still waits is shown by that page.
            waiting = {row.incident_id for row in pages} - {row.incident_id for row in acknowledged}
            rest = [row for row in updates if row.incident_id not in waiting]
            if self.shows_updates:
                sent += self._updates([*acknowledged, *rest], now)
            else:
                outbox.drop(
                    self.db, [row.id for row in acknowledged], now, "somebody acknowledged it before it was sent"
                )
        except _Stop:
            pass
        return sent

    def _due(self, now: datetime) -> tuple[list[Pending], list[Pending]]:
        """Pages and updates that are due; a channel that can only page has no updates."""
        pages, updates = outbox.due(self.db, self.name, now, self.problems)
        if updates and not self.shows_updates:
            outbox.drop(self.db, [row.id for row in updates], now, "this channel shows no updates")
            updates = []
        return pages, updates

    def _preparing(self, pages: Sequence[Pending], now: datetime) -> Callable[[Pending], _Page]:
        """What makes pages ready: of a storm, the incidents are read together and the same people are found once."""
        incidents = self.incidents.those([row.incident_id for row in pages]) if pages else {}
        reached: dict[Draft, tuple[Recipient, ...]] = {}

        def prepare(row: Pending) -> _Page:
            if row.draft not in reached:
                reached[row.draft] = self.recipients(row.draft, now)
            incident = incidents.get(row.incident_id) or self._incident(row)
            return _Page(row=row, incident=incident, recipients=reached[row.draft])

        return prepare

    def _incident(self, row: Pending) -> Incident:
        """The incident of a page; where it cannot be read, the page goes out all the same and says so."""
        try:
            return self.incidents.get(row.incident_id)
        except WatchkeeperError as error:
            if row.draft.kind != "page":
                raise
            self.problems.report(outbox.LOOP, row.incident_id, error)
            at = from_micros(row.created_at)
            title = f"an incident whose record cannot be read: see `watchkeeper doctor` ({row.draft.text})"
            return Incident(
                id=row.incident_id, title=title, severity="page", service="unknown service", opened_at=at, onset=at
            )

    # Pages

    def _pages(self, pages: Sequence[_Page], now: datetime) -> int:
        sent = 0
        for batch in sorted({page.row.batch for page in pages if page.row.batch}):
            # They may have gone out together already: only as the same message can the channel recognise them.
            sent += self._send_gathered([page for page in pages if page.row.batch == batch], now, batch)
        for page in pages:
            if page.row.batch is None and page.row.attempts:
                sent += self._send_alone(page, now)
        fresh = [page for page in pages if page.row.batch == "" or (page.row.batch is None and not page.row.attempts)]
        if len(fresh) <= self.pace.singles_left():
            alone, rest = fresh, []
        elif self.pace.singles_left():
            alone, rest = fresh[:1], fresh[1:]
        else:
            alone, rest = [], fresh
        for page in alone:
            sent += self._send_alone(page, now)
        if rest and self.pace.may_gather(now):
            for mention in dict.fromkeys(page.mention for page in rest):
                same_person = [page for page in rest if page.mention == mention][:GATHERED]
                if len(same_person) == 1:
                    sent += self._send_alone(same_person[0], now)
                else:
                    sent += self._send_gathered(same_person, now, None)
            self.pace.gathered(now)
        return sent

    def _send_alone(self, page: _Page, now: datetime) -> int:
        if not outbox.claim(self.db, [page.row], self._fresh(now)):
            return 0  # another worker has it
        self.pace.single(now)
        before = self._thread(page.row)
        where = self._attempt(page.row, lambda: self._send_page(page, before), now)
        if where is None:
            return 0
        if before and where != before:
            outbox.move_thread(self.db, page.row.incident_id, where, self.name)
        return self._record_pages([page.row], where, now)

    def _send_page(self, page: _Page, thread: Thread | None) -> Thread:
        """Send to the first recipient whom the channel knows; a further one reads why they are paged instead."""
        first_try = _is_new(page.row) and (thread is not None or not self._others_were_tried(page.row))

        def send(number: int, recipient: Recipient, before: Thread | None) -> Thread:
            message = Message(
                key=page.row.key + (f":{number}" if number else ""),
                kind="page",
                incident=page.incident,
                mention=recipient.mention,
                text=_text(page.row.draft, recipient),
                thread=before or thread,
                first_try=first_try,
            )
            return self.channel.send(message)

        return self._until_reached(page.recipients, send)

    def _until_reached(
        self, recipients: Sequence[Recipient], send: Callable[[int, Recipient, Thread | None], Thread]
    ) -> Thread:
        """Send to one after the other, until the channel knows the recipient."""
        where: Thread | None = None
        for number, recipient in enumerate(recipients):
            try:
                where = send(number, recipient, where)
            except DeliveryError as error:
                error.unsent = error.unsent and where is None
                raise
            if self._reaches(recipient):
                break
        if where is None:
            why = f"nobody in oncall.people has an address for it: add `addresses.{self.name}`"
            raise DeliveryError(why, retry=False, unsent=True)
        return where

    def _send_gathered(self, pages: Sequence[_Page], now: datetime, batch: str | None) -> int:
        """Several pages for one person as one message."""
        first_try = batch is None
        key = batch or outbox.new_batch()
        claimed = {row.id for row in outbox.claim(self.db, [page.row for page in pages], self._fresh(now), batch=key)}
        claimed_pages = [page for page in pages if page.row.id in claimed]
        if not claimed_pages:
            return 0
        rows = [page.row for page in claimed_pages]
        where = self._attempt(rows, lambda: self._send_digest(claimed_pages, key, first_try=first_try), now)
        return self._record_pages(rows, where, now, [page.incident for page in claimed_pages]) if where else 0

    def _send_digest(self, pages: Sequence[_Page], key: str, *, first_try: bool) -> Thread:
        incidents = tuple({page.incident.id: page.incident for page in pages}.values())

        def send(number: int, recipient: Recipient, _: Thread | None) -> Thread:
            # Its button acts on what the key names: the incidents of this batch, whoever receives them.
            text = _text(pages[0].row.draft, recipient)
            part = f"{key}:{number}" if number else key
            return self.channel.send_digest(
                Digest(
                    key=key, part=part, incidents=incidents, mention=recipient.mention, text=text, first_try=first_try
                )
            )

        return self._until_reached(pages[0].recipients, send)

    def _reaches(self, recipient: Recipient) -> bool:
        """Whether a mention reaches somebody, as far as the channel knows."""
        if recipient.instead:
            self.problems.report("paging", recipient.name, recipient.instead)
        why = self.channel.unreachable(recipient.mention)
        if why:
            advice = f"check `addresses.{self.name}`"
            self.problems.report("paging", recipient.name, f"a page for them reaches nobody: {why}; {advice}")
        return not why

    def _record_pages(
        self, rows: Sequence[Pending], where: Thread, now: datetime, incidents: Sequence[Incident] = ()
    ) -> int:
        # Before the record of the send: a kill in between repeats the send, never loses the delivery.
        with next(self.problems.each(outbox.LOOP, [rows], lambda rows: f"delivery of {rows[0].key}")) as sent:
            self.incidents.all_delivered([(row.incident_id, row.key) for row in sent], self.name)
        again = self._again([incident for incident in incidents if len(rows) > 1], now)
        outbox.record_sent(self.db, rows, where, self.name, now, again)
        for row in rows:
            if row.draft.person == CANARY:
                continue  # no human was waited for
            SECONDS.observe(max(0.0, (to_micros(now) - row.created_at) / 1e6 - row.draft.after_s))
            SENT.labels(self.name, "page", "sent").inc()
        return len(rows)

    # Updates

    def _updates(self, rows: Sequence[Pending], now: datetime) -> int:
        sent, left = 0, self.pace.updates_a_round()
        seen: set[tuple[str, str]] = set()
        for row in rows:
            if left <= 0 or self.pace.updates_wait(now):
                break
            if row.draft.kind == "digest":
                sent += self._tickets(row, now)
                continue
            if row.draft.kind == "reminder":
                sent += self._reminder(row, now)
                continue
            thread = self._thread(row)
            if thread and (thread.conversation, thread.ts) in seen:
                continue
            members = self._members(thread)
            if thread and len(members) > 1:
                seen.add((thread.conversation, thread.ts))
                together = [other for other in rows if other.incident_id in members]
                sent += self._refresh(together, members, thread, now)
            else:
                sent += self._update(row, thread, now)
            left -= 1
        return sent

    def _tickets(self, row: Pending, now: datetime) -> int:
        """The digest of the tickets that are open now; nothing where none is any more."""
        incidents = tuple(self.incidents.list("open", GATHERED, "ticket"))
        if not incidents:
            outbox.drop(self.db, [row.id], now, "no ticket is open any more")
            return 0
        if not outbox.claim(self.db, [row], self._fresh(now)):
            return 0
        digest = Digest(key=row.key, part=row.key, incidents=incidents, first_try=_is_new(row), tickets_at=now)
        where = self._attempt(row, lambda: self.channel.send_digest(digest), now)
        if where is None:
            return 0
        outbox.record_sent(self.db, [row], where, self.name, now)
        SENT.labels(self.name, "digest", "sent").inc()
        return 1

    def _reminder(self, row: Pending, now: datetime) -> int:
        """A notice for one person. Reminders are put to channels that show notices; another drops it."""
        channel = self.channel
        if not isinstance(channel, ShowsNotices):
            outbox.drop(self.db, [row.id], now, "this channel shows no notices")
            return 0
        if not outbox.claim(self.db, [row], now):
            return 0
        mentions = (row.address,) if row.address else ()
        notice = Notice(
            key=row.key,
            title=row.draft.title,
            text=row.draft.text,
            mentions=mentions,
            buttons=row.draft.choices,
            place=row.draft.place,
        )
        where = self._attempt(row, lambda: channel.show_notice(notice, None, maybe_there=not _is_new(row)), now)
        if where is None:
            return 0
        outbox.record_sent(self.db, [row], where, self.name, now)
        SENT.labels(self.name, "reminder", "sent").inc()
        return 1

    def _update(self, row: Pending, thread: Thread | None, now: datetime) -> int:
        first_try = _is_new(row) and (thread is not None or not self._others_were_tried(row))
        if not outbox.claim(self.db, [row], self._fresh(now)):
            return 0

        shown: list[Incident] = []

        def send() -> Thread:
            shown.append(self._incident(row))
            message = Message(
                key=row.key,
                kind="update",
                incident=shown[0],
                text=row.draft.text,
                thread=thread,
                first_try=first_try,
            )
            return self.channel.send(message)

        where = self._attempt(row, send, now)
        if where is None:
            return 0
        if row.draft.kind == "page":
            return self._record_pages([row], where, now)
        outbox.record_sent(self.db, [row], where, self.name, now, self._again(shown, now))
        if thread and where != thread:
            outbox.move_thread(self.db, row.incident_id, where, self.name)
        SENT.labels(self.name, "update", "sent").inc()
        return 1

    def _refresh(self, rows: Sequence[Pending], members: Sequence[str], thread: Thread, now: datetime) -> int:
        """Show a gathered message anew: once for all the news of its incidents."""
        claimed = outbox.claim(self.db, rows, self._fresh(now))
        if not claimed:
            return 0

        incidents: list[Incident] = []

        def send() -> Thread:
            for attempt in self.problems.each(outbox.LOOP, members[:GATHERED], str):
                with attempt as incident_id:
                    incidents.append(self.incidents.get(incident_id))
            with self.db.read() as connection:
                key = outbox.batch_of(connection, self.name, rows[0].incident_id)
            return self.channel.send_digest(Digest(key=key, part=key, incidents=tuple(incidents), thread=thread))

        where = self._attempt(claimed, send, now)
        if where is None:
            return 0
        mine = {row.incident_id for row in claimed}
        again = self._again([incident for incident in incidents if incident.id in mine], now)
        outbox.record_sent(self.db, claimed, where, self.name, now, again)
        if where != thread:
            for incident_id in members:
                outbox.move_thread(self.db, incident_id, where, self.name)
        SENT.labels(self.name, "update", "sent").inc(len(claimed))
        return len(claimed)

    # How

    def _again(self, incidents: Sequence[Incident], now: datetime) -> Mapping[str, datetime]:
        """When a channel that forgets is shown incidents again: those that fire, and that nobody ended."""
        if self.repeat_s is None:
            return outbox.NEVER
        at = now + timedelta(seconds=self.repeat_s)
        return {incident.id: at for incident in incidents if state_of(incident) not in OVER}

    def _thread(self, row: Pending) -> Thread | None:
        with self.db.read() as connection:
            return outbox.thread_of(connection, row.incident_id, self.name)

    def _members(self, thread: Thread | None) -> tuple[str, ...]:
        if thread is None:
            return ()
        with self.db.read() as connection:
            return outbox.incidents_at(connection, self.name, thread)

    def _others_were_tried(self, row: Pending) -> bool:
        with self.db.read() as connection:
            return outbox.others_were_tried(connection, self.name, row)

    def _fresh(self, now: datetime) -> datetime:
        """The time now: a round that waits for a slow channel began a while ago."""
        began, monotonic = self._began or (now, time.monotonic())
        return began + timedelta(seconds=time.monotonic() - monotonic)

    def _attempt(
        self, rows: Pending | Sequence[Pending], send: Callable[[], T], now: datetime, *, is_send: bool = True
    ) -> T | None:
        """What `send` gives, or None after putting its messages off: whatever a channel dies of, others must go out."""
        batch = [rows] if isinstance(rows, Pending) else list(rows)
        try:
            result = send()
        except Exception as error:  # noqa: BLE001
            self._failed(batch, error, now)
            return None
        if is_send:  # preparing a message does not use the channel
            self._failures = self._rests = 0
            RESTS.labels(self.name).set(0)
            reported = {problem.subject for problem in self.problems.current() if problem.loop == outbox.LOOP}
            for row in batch:
                if row.key in reported:
                    self.problems.solved(outbox.LOOP, row.key)
        return result

    def _failed(self, rows: Sequence[Pending], error: Exception, now: datetime) -> None:
        kind = rows[0].draft.kind
        SENT.labels(self.name, kind, "failed").inc(len(rows))
        wait: float | None = None
        unsent = isinstance(error, DeliveryError) and error.unsent
        if isinstance(error, DeliveryError):
            # A human may repair the token meanwhile.
            wait = outbox.LONGEST_BACKOFF_S if not error.retry else error.retry_after_s
            structlog.get_logger().warning(
                "message.failed",
                channel=self.name,
                address=rows[0].address,
                key=rows[0].key,
                kind=kind,
                error=error.message,
                retry=error.retry,
                again_s=wait,
            )
        self.problems.report(outbox.LOOP, rows[0].key, error)
        for row in rows:
            outbox.put_off(self.db, row.id, row.attempts, now, str(error), after_s=wait, unsent=unsent)
        if kind == "page":
            why = f"the page could not be delivered by {self.name} yet: {error}"
            with next(self.problems.each(outbox.LOOP, [rows], lambda rows: f"delivery of {rows[0].key}")) as lost:
                self.incidents.all_undelivered([(row.incident_id, row.key) for row in lost], why)
        self._failures += 1
        if isinstance(error, DeliveryError) and error.retry:
            if error.retry_after_s is not None:
                self.pace.wait(now + timedelta(seconds=error.retry_after_s), pages=kind == "page")
                raise _Stop
            if self._failures >= GIVES_UP_AFTER:
                self._rests += 1
                rest = timedelta(seconds=backoff_s(self._rests, FIRST_REST_S, LONGEST_REST_S))
                self.pace.wait(self._fresh(now) + rest, pages=True)
                RESTS.labels(self.name).set(1)
                raise _Stop


def _is_new(row: Pending) -> bool:
    """Whether the channel can have nothing of a message."""
    return row.attempts == 0 or row.batch == ""


def _text(draft: Draft, recipient: Recipient) -> str:
    text = f"{draft.text}; nobody acknowledged for {duration(draft.after_s)}" if draft.after_s else draft.text
    return f"{text} ({recipient.instead})" if recipient.instead else text
