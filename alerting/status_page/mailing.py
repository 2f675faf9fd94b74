"""Sends what waits for the subscribers of the public status page: so many e-mails a minute, over one connection.

A server that is away stops the round, and nothing is lost. An address that the server refuses is set aside with the
reason, and the next one is tried. A kill between the hand-over and its record sends an e-mail again with the same
message id, which mail servers and programs show once. No address is logged, nor what a server says about one.
"""

from __future__ import annotations

import re
import smtplib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Final

import structlog
from prometheus_client import Counter

from alerting.channels.email.server import EmailSettings, MailServer
from alerting.channels.registry import channel_registry, kind_of
from alerting.channels.settings import read_settings
from alerting.channels.signing import Signing
from alerting.status_page import mails
from alerting.status_page.letters import compose, question_letter, update_letter
from alerting.status_page.mails import Waiting
from alerting.status_page.subscribers import Subscriber, Subscribers, forget_unconfirmed, set_aside, subscriber_of
from alerting.status_page.updates import public_update
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.durations import backoff_s
from watchkeeper.errors import AddressRefused, ConfigError, DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

MAILS = Counter("watchkeeper_status_mails_total", "E-mails to subscribers, by kind and outcome.", ["kind", "outcome"])
LOOP: Final = "status mails"
MINUTE: Final = timedelta(minutes=1)
TIDIED_EVERY: Final = timedelta(hours=1)
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 300.0
# An address that the server refuses for so long, while it takes others, is set aside.
GIVEN_UP_AFTER: Final = timedelta(days=2)


def mail_server(config: Config) -> MailServer | None:
    """The server of `status_page.subscriptions.channel`; None where nobody can subscribe.

    Raises:
        ConfigError: that channel is no e-mail channel, or its settings are wrong.
    """
    name = config.status_page.subscriptions.channel
    return open_server(config, name, "status_page.subscriptions.channel") if name else None


def open_server(config: Config, name: str, key: str) -> MailServer:
    """The server of an e-mail channel, which `key` of the configuration needs.

    Raises:
        ConfigError: that channel is no e-mail channel, or its settings are wrong.
    """
    kind, settings = kind_of(name, config.channels[name], channel_registry())
    if kind != "email":
        raise ConfigError(f"{key}: {name!r} is of kind {kind}; name one of kind email")
    try:
        return MailServer(read_settings(EmailSettings, settings), name)
    except ValueError as error:
        raise ConfigError(f"channels.{name}: {error}") from error


class Mailing:
    """One worker. Several, of several processes, send nothing twice."""

    def __init__(
        self,
        config: Config,
        db: Database,
        clock: Clock,
        server: MailServer,
        problems: Problems,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._page = config.status_page
        self._db = db
        self._clock = clock
        self._server = server
        self._problems = problems
        self._beat = beat
        self._subscribers = Subscribers(db, clock, config)
        self._hiding = Signing(config, "message ids of updates")
        self._sent: deque[datetime] = deque()
        self._rests_until: datetime | None = None
        self._rests = 0
        self._tidied: datetime | None = None

    def run(self) -> int:
        """Send what is due, as far as the rate allows; how many went out."""
        now = self._clock.now()
        self._tidy(now)
        while self._sent and not now - MINUTE < self._sent[0] <= now:
            self._sent.popleft()
        left = self._page.subscriptions.mails_per_minute - len(self._sent)
        if left <= 0 or (self._rests_until and now < self._rests_until <= now + timedelta(seconds=LONGEST_REST_S)):
            return 0
        rows = mails.due(self._db, now, left)
        if not rows:
            return 0
        try:
            with self._server.connected() as server:
                sent = sum(self._send(server, row) for row in rows)
        except DeliveryError as error:
            self._rests += 1
            self._rests_until = now + timedelta(seconds=backoff_s(self._rests, FIRST_REST_S, LONGEST_REST_S))
            self._problems.report(LOOP, "the mail server", error)
            return 0
        self._rests = 0
        self._problems.solved(LOOP, "the mail server")
        return sent

    def _send(self, server: smtplib.SMTP, row: Waiting) -> int:
        """Send one, unless another worker has it or nobody wants it any more.

        Raises:
            DeliveryError: the server is away or refuses us; the e-mail waits.
        """
        self._beat()
        now = self._clock.now()
        if not mails.claim(self._db, row.key, now):
            return 0
        kind = "update" if row.update_id else "question"
        found = self._written(row)
        if found is None:
            with self._db.write() as connection:
                mails.record_sent(connection, row.key, now, "nobody wants it any more")
            return 0
        subscriber, mail = found
        self._sent.append(now)
        try:
            self._server.hand_over(server, mail, subscriber.address)
        except AddressRefused as error:
            MAILS.labels(kind, "refused").inc()
            self._refused(row, subscriber, error)
            return 0
        except DeliveryError as error:
            MAILS.labels(kind, "failed").inc()
            why = re.sub(re.escape(subscriber.address), "an address", error.message, flags=re.IGNORECASE)
            with self._db.write() as connection:
                mails.put_off(connection, row, self._clock.now(), why)
            raise DeliveryError(why, retry=error.retry, unsent=error.unsent) from None
        with self._db.write() as connection:
            mails.record_sent(connection, row.key, self._clock.now())
        MAILS.labels(kind, "sent").inc()
        return 1

    def _written(self, row: Waiting) -> tuple[Subscriber, EmailMessage] | None:
        """The e-mail as it is due now: of an update that was changed meanwhile, the new text."""
        with self._db.read() as connection:
            subscriber = subscriber_of(connection, row.subscriber_id)
            update = public_update(connection, row.update_id) if row.update_id else None
        if subscriber is None:
            return None
        if row.update_id:
            if update is None or subscriber.state != "confirmed":
                return None
            letter = update_letter(update, self._page, self._subscribers.ending_url(subscriber.id))
        else:
            url = self._subscribers.confirming_url(subscriber.id)
            letter = question_letter(self._page, subscriber.wanted, url)
        thread = f"{subscriber.id} {update.incident_id if update else 'question'}"
        sender = self._page.subscriptions.sender or self._server.settings.sender
        key, thread = (self._hiding.digest(text).hex() for text in (row.key, thread))
        return subscriber, compose(
            letter, key=key, thread=thread, sender=sender, address=subscriber.address, at=self._clock.now()
        )

    def _refused(self, row: Waiting, subscriber: Subscriber, error: AddressRefused) -> None:
        """Try the address later, or set it aside; the next one goes on."""
        now = self._clock.now()
        lasts = now - row.created_at > GIVEN_UP_AFTER
        with self._db.write() as connection:
            if error.retry and not lasts:
                mails.put_off(connection, row, now, "the address was refused for now")
                return
            mails.record_sent(connection, row.key, now, "the address was refused")
            set_aside(connection, subscriber.id, f"{error.message}{', for two days' if lasts else ''}")
        structlog.get_logger().info("subscriber.set_aside", subscriber=subscriber.id)

    def _tidy(self, now: datetime) -> None:
        if self._tidied and timedelta(0) <= now - self._tidied < TIDIED_EVERY:
            return
        with self._db.write() as connection:
            forgotten = forget_unconfirmed(connection, now)
            mails.forget_old(connection, now)
        self._tidied = now
        if forgotten:
            structlog.get_logger().info("subscribers.forgotten", unconfirmed=forgotten)
