"""Sends what waits for stakeholders: e-mails over one connection, messages in Slack through its outbox.

Five messages within five minutes reach somebody one by one; what follows is gathered into one message. A kill between
the hand-over and its record sends an e-mail again with the same message id and the same news in it. A message in Slack
goes into Slack's outbox in the transaction that ends its wait. No address is logged.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter
from sqlalchemy import Connection

from alerting.channels import outbox
from alerting.channels.email.server import MailServer
from alerting.channels.signing import Signing
from alerting.incidents import journal
from alerting.incidents.machine import Incident
from alerting.status_page import mails
from alerting.status_page.letters import Letter, compose
from alerting.status_page.mailing import FIRST_REST_S, GIVEN_UP_AFTER, LONGEST_REST_S, open_server
from alerting.status_page.mails import WaitingNews
from alerting.status_page.stakeholder_words import Told, letter_of
from alerting.status_page.stakeholders import Recipient, known_recipients
from alerting.status_page.updates import newest_public
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.durations import backoff_s
from watchkeeper.errors import AddressRefused, ConfigError, DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import content_key

INFORMED = Counter("watchkeeper_stakeholder_messages_total", "Messages to stakeholders, by outcome.", ["outcome"])
LOOP: Final = "stakeholders"
SINGLES: Final = 5
GATHERED_EVERY: Final = timedelta(minutes=5)
READ_AT_ONCE: Final = 20_000  # rows: a storm of incidents for every stakeholder
SLACK: Final = "slack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """News that go to one recipient as one message, named `batch`."""

    rows: Sequence[WaitingNews]
    batch: str


def parcels(rows: Sequence[WaitingNews], sent: Sequence[datetime], now: datetime) -> Iterator[Parcel]:
    """One recipient's news as messages. `sent` are the times of those of the last five minutes, in order.

    What was tried as one message stays one.
    """
    for batch in dict.fromkeys(row.batch for row in rows if row.batch):
        yield Parcel(rows=[row for row in rows if row.batch == batch], batch=batch)
    fresh = [row for row in rows if not row.batch]
    if len(fresh) <= SINGLES - len(sent):
        yield from (Parcel(rows=[row], batch=content_key(row.key)) for row in fresh)
    elif fresh and (len(sent) < SINGLES or now - sent[-1] >= GATHERED_EVERY):
        yield Parcel(rows=fresh, batch=content_key(*(row.key for row in fresh)))


class Informing:
    """One worker. Several, of several processes, send nothing twice."""

    def __init__(
        self, config: Config, db: Database, clock: Clock, problems: Problems, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._db = db
        self._clock = clock
        self._problems = problems
        self._beat = beat
        self._hiding = Signing(config, "message ids of updates")
        self._server: MailServer | None = None
        self._rests_until: datetime | None = None
        self._rests = 0

    def run(self) -> int:
        """Send what is due; how many messages went out."""
        now = self._clock.now()
        rows = mails.news_due(self._db, now, READ_AT_ONCE)
        if not rows:
            return 0
        known = known_recipients(self._config)
        by_recipient: dict[str, list[WaitingNews]] = {}
        for row in rows:
            by_recipient.setdefault(row.recipient_id, []).append(row)
        sent = mails.last_news(self._db, list(by_recipient), now - GATHERED_EVERY)
        by_mail: list[tuple[Parcel, Recipient, str]] = []
        count = 0
        for recipient_id, theirs in by_recipient.items():
            recipient, address = known.get(recipient_id, (None, ""))
            if recipient is None or not address:
                self._drop(theirs, now)
                continue
            for parcel in parcels(theirs, sent.get(recipient_id, ()), now):
                if recipient.medium == "slack":
                    count += self._post(parcel, address, now)
                else:
                    by_mail.append((parcel, recipient, address))
        return count + self._mail(by_mail, now)

    def _drop(self, rows: Sequence[WaitingNews], now: datetime) -> None:
        with self._db.write() as connection:
            for row in rows:
                mails.record_sent(connection, row.key, now, "no rule names this stakeholder any more")

    def _post(self, parcel: Parcel, place: str, now: datetime) -> int:
        """Into Slack's outbox, which knows how to send a thing once."""
        with self._db.write() as connection:
            taken = mails.claim_news(connection, [row.key for row in parcel.rows], parcel.batch, now)
            letter = self._written(connection, [row for row in parcel.rows if row.key in taken])
            for key in taken:
                mails.record_sent(connection, key, now, "" if letter else "its incident cannot be read")
            if letter is None:
                return 0
            draft = outbox.Draft(kind="reminder", title=letter.subject, text=_as_notice(letter), place=place)
            subject = f"news-{parcel.batch}"
            outbox.put_reminder(connection, f"{subject}:{SLACK}", subject, SLACK, "", draft, now)
        INFORMED.labels("posted").inc()
        return 1

    def _mail(self, waiting: Sequence[tuple[Parcel, Recipient, str]], now: datetime) -> int:
        resting = self._rests_until and now < self._rests_until <= now + timedelta(seconds=LONGEST_REST_S)
        if not waiting or resting:
            return 0
        try:
            server = self._open()
            with server.connected() as connected:
                sent = sum(self._send(server, connected, *each) for each in waiting)
        except (DeliveryError, ConfigError) as error:
            self._rests += 1
            self._rests_until = now + timedelta(seconds=backoff_s(self._rests, FIRST_REST_S, LONGEST_REST_S))
            self._problems.report(LOOP, "the mail server", error)
            return 0
        self._rests = 0
        self._problems.solved(LOOP, "the mail server")
        return sent

    def _open(self) -> MailServer:
        if self._server is None:
            self._server = open_server(self._config, self._config.mail_channel or "email", "oncall.stakeholders")
        return self._server

    def _send(
        self, server: MailServer, connected: smtplib.SMTP, parcel: Parcel, recipient: Recipient, address: str
    ) -> int:
        """One e-mail, unless another worker has its news.

        Raises:
            DeliveryError: the server is away or refuses us; the e-mail waits.
        """
        self._beat()
        now = self._clock.now()
        with self._db.write() as connection:
            taken = mails.claim_news(connection, [row.key for row in parcel.rows], parcel.batch, now)
            rows = [row for row in parcel.rows if row.key in taken]
            letter = self._written(connection, rows)
            if letter is None:
                for row in rows:
                    mails.record_sent(connection, row.key, now, "its incident cannot be read")
                return 0
        incident = rows[0].incident_id if len(rows) == 1 else parcel.batch
        key, thread = (self._hiding.digest(f"{recipient.id} {text}").hex() for text in (parcel.batch, incident))
        sender = self._config.status_page.subscriptions.sender or server.settings.sender
        mail = compose(letter, key=key, thread=thread, sender=sender, address=address, at=now)
        try:
            server.hand_over(connected, mail, address)
        except AddressRefused as error:
            INFORMED.labels("refused").inc()
            given_up = not error.retry or now - rows[0].created_at > GIVEN_UP_AFTER
            self._after_failure(rows, "the address was refused", given_up=given_up)
            where = f"{recipient.medium} {recipient.name}" if recipient.medium == "person" else recipient.id
            self._problems.report(LOOP, where, f"the mail server refuses the address; {_advice(given_up=given_up)}")
            return 0
        except DeliveryError as error:
            INFORMED.labels("failed").inc()
            why = re.sub(re.escape(address), "an address", error.message, flags=re.IGNORECASE)
            self._after_failure(rows, why, given_up=False)
            raise DeliveryError(why, retry=error.retry, unsent=error.unsent) from None
        with self._db.write() as connection:
            for row in rows:
                mails.record_sent(connection, row.key, self._clock.now())
        INFORMED.labels("sent").inc()
        return 1

    def _after_failure(self, rows: Sequence[WaitingNews], why: str, *, given_up: bool) -> None:
        now = self._clock.now()
        with self._db.write() as connection:
            for row in rows:
                if given_up:
                    mails.record_sent(connection, row.key, now, why)
                else:
                    mails.put_off(connection, row, now, why)

    def _written(self, connection: Connection, rows: Sequence[WaitingNews]) -> Letter | None:
        """The message; None where no incident of it can be read."""
        incidents = journal.load_many(connection, list(dict.fromkeys(row.incident_id for row in rows)))
        told = [self._told(connection, row, incidents) for row in rows if row.incident_id in incidents]
        return letter_of(told, self._config.status_page) if told else None

    def _told(self, connection: Connection, row: WaitingNews, incidents: Mapping[str, Incident]) -> Told:
        return Told(
            news=row.news,
            incident=incidents[row.incident_id],
            at=row.created_at,
            public=newest_public(connection, row.incident_id),
        )


def _as_notice(letter: Letter) -> str:
    return "\n".join((*letter.paragraphs, *(f"{name}: {url}" for name, url in letter.links)))


def _advice(*, given_up: bool) -> str:
    return "it gets no more of this; correct `oncall.stakeholders`" if given_up else "it is tried again for two days"
