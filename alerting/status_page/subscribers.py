"""Who gets the public updates by e-mail: each has confirmed it from the address itself.

Whoever asks gets one e-mail with a link, and nothing else until they confirm. An address is personal data: it is in
one row, never in a log or the audit trail, and `remove` erases it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, func, select, update

from alerting.channels.signing import Signing
from alerting.status_page import mails
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.config_values import mailbox
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import status_mails, status_subscribers
from watchkeeper.text import did_you_mean
from watchkeeper.vocabulary import Actor

State = Literal["pending", "confirmed", "set aside"]
PATH: Final = "/status-updates/"
LONGEST: Final = 254  # characters of an address (RFC 5321, 4.5.3.1.3)
CONFIRM_WITHIN: Final = timedelta(days=2)
# One address is asked to confirm this often at most, so that nobody can fill somebody else's mailbox.
ASKED_EVERY: Final = timedelta(hours=1)
# So many addresses may wait for a confirmation in an hour: what a form that everybody reaches may have us send.
MOST_ASKED: Final = 500
_SELF: Final = Actor(name="the subscriber", via="link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """Somebody who gets updates of `components` (ids; empty for all), once confirmed. `reason`: why set aside."""

    id: str
    address: str
    state: State
    components: tuple[str, ...]
    wanted: tuple[str, ...]
    asked_at: datetime
    confirmed_at: datetime | None = None
    reason: str = ""


class Subscribers:
    """Reads and commands. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, config: Config) -> None:
        self._db = db
        self._clock = clock
        self._config = config
        self._confirming = Signing(config, "confirm a subscription")
        self._ending = Signing(config, "end a subscription")

    # Reading

    def list(self) -> tuple[Subscriber, ...]:
        """All of them, by address."""
        with self._db.read() as connection:
            rows = connection.execute(select(status_subscribers).order_by(status_subscribers.c.folded))
            return tuple(_subscriber(row) for row in rows)

    def of_confirmation(self, token: str) -> Subscriber | None:
        """Whom a confirming link is for; None for one that is forged, too old, or of somebody who is gone."""
        subscriber_id, _, until = (self._confirming.read(token) or "").partition("\n")
        if not until or int(until) < self._clock.now().timestamp():
            return None
        return self._by_id(subscriber_id)

    def of_end(self, token: str) -> Subscriber | None:
        """Whom a link that unsubscribes is for. It has no end."""
        return self._by_id(self._ending.read(token) or "")

    def confirming_url(self, subscriber_id: str) -> str:
        """The link in the e-mail that asks; empty where the web role has no public address."""
        until = int((self._clock.now() + CONFIRM_WITHIN).timestamp())
        return self._url("confirm", self._confirming.token(f"{subscriber_id}\n{until}"))

    def ending_url(self, subscriber_id: str) -> str:
        """The link in every e-mail; empty where the web role has no public address."""
        return self._url("unsubscribe", self._ending.token(subscriber_id))

    # Writing

    def ask(self, address: str, components: Sequence[str] = ()) -> None:
        """Ask an address to confirm. Whoever calls this learns nothing about who is subscribed.

        Raises:
            ConfigError: it is no address, or a component is not configured.
            Conflict: too many are asked at the moment; `retry` is set.
        """
        if self._config.status_page.subscriptions.channel is None:
            raise ConfigError("updates by e-mail are not offered here")
        typed, wanted, now = _address(address), self._known(components), self._clock.now()
        with self._db.write() as connection:
            since = to_micros(now - ASKED_EVERY)
            lately = status_mails.c.created_at > since
            asked = connection.scalar(select(func.count()).where(status_mails.c.update_id == "", lately)) or 0
            if asked >= MOST_ASKED:
                raise Conflict("Too many people ask to be subscribed at the moment. Try again in an hour.", retry=True)
            found = _load(connection, status_subscribers.c.folded == typed.casefold())
            subscriber = found or self._put(connection, typed, wanted, "pending", now)
            of_theirs = (status_mails.c.subscriber_id == subscriber.id) & (status_mails.c.update_id == "")
            if connection.scalar(select(func.count()).where(of_theirs, lately)):
                return
            values = {"wanted": json.dumps(wanted), "asked_at": to_micros(now)}
            _change(connection, subscriber.id, values)
            mails.put_question(connection, subscriber.id, now)

    def add(self, address: str, components: Sequence[str], actor: Actor, *, confirmed: bool) -> Subscriber:
        """Subscribe somebody: after they confirm, or at once where they agreed elsewhere.

        Raises:
            ConfigError: it is no address, a component is not configured, or nobody could confirm.
        """
        if not confirmed and not self._config.web.public_url:
            raise ConfigError(
                "web.public_url is not set, so there is no link to confirm by: set it, or use --confirmed for somebody "
                "who has agreed already"
            )
        typed, wanted, now = _address(address), self._known(components), self._clock.now()
        if not confirmed:
            self.ask(typed, wanted)
        with self._db.write() as connection:
            found = _load(connection, status_subscribers.c.folded == typed.casefold())
            subscriber = found or self._put(connection, typed, wanted, "pending", now)
            if confirmed:
                _confirm(connection, subscriber.id, wanted, now)
            action = f"subscriber.{'add' if confirmed else 'ask'}"
            record_audit(connection, now, actor, action, subscriber.id)
            return subscriber_of(connection, subscriber.id) or subscriber

    def confirm(self, subscriber_id: str) -> None:
        """The subscriber says that they want the updates. Also ends being set aside."""
        now = self._clock.now()
        with self._db.write() as connection:
            subscriber = subscriber_of(connection, subscriber_id)
            if subscriber is None:
                return
            if subscriber.state != "confirmed" or subscriber.components != subscriber.wanted:
                _confirm(connection, subscriber_id, subscriber.wanted, now)
                record_audit(connection, now, _SELF, "subscriber.confirm", subscriber_id)

    def end(self, subscriber_id: str) -> None:
        """The subscriber wants no more of it: everything about them is erased. Nothing happens where it was before."""
        with self._db.write() as connection:
            if _erase(connection, subscriber_id):
                record_audit(connection, self._clock.now(), _SELF, "subscriber.end", subscriber_id)

    def remove(self, name: str, actor: Actor) -> str:
        """Erase a subscriber, by address or id, and what waits for them; their id.

        Raises:
            NotFound: there is none.
        """
        with self._db.write() as connection:
            named = (status_subscribers.c.id == name) | (status_subscribers.c.folded == name.strip().casefold())
            subscriber = _load(connection, named)
            if subscriber is None:
                raise NotFound("no such subscriber; see `watchkeeper status subscribers list`")
            _erase(connection, subscriber.id)
            record_audit(connection, self._clock.now(), actor, "subscriber.remove", subscriber.id)
            return subscriber.id

    def _by_id(self, subscriber_id: str) -> Subscriber | None:
        with self._db.read() as connection:
            return subscriber_of(connection, subscriber_id)

    def _url(self, page: str, token: str) -> str:
        public = self._config.web.public_url
        return f"{public.rstrip('/')}{PATH}{page}/{token}" if public else ""

    def _known(self, components: Sequence[str]) -> tuple[str, ...]:
        known = [component.id for component in self._config.status_page.components]
        for component in components:
            if component not in known:
                raise ConfigError(f"component {component!r} is not configured{did_you_mean(component, known)}")
        return tuple(dict.fromkeys(components))

    def _put(
        self, connection: Connection, address: str, wanted: tuple[str, ...], state: State, now: datetime
    ) -> Subscriber:
        new = Subscriber(
            id=f"sub-{secrets.token_hex(8)}", address=address, state=state, components=(), wanted=wanted, asked_at=now
        )
        row = {
            "id": new.id,
            "address": address,
            "folded": address.casefold(),
            "state": state,
            "components": json.dumps(()),
            "wanted": json.dumps(wanted),
            "asked_at": to_micros(now),
            "confirmed_at": None,
            "reason": "",
        }
        if insert_new(connection, status_subscribers, row):
            return new
        # On PostgreSQL, somebody asked for the same address in this instant.
        return _load(connection, status_subscribers.c.folded == address.casefold()) or new


def subscriber_of(connection: Connection, subscriber_id: str) -> Subscriber | None:
    """A subscriber; None for one who is gone."""
    return _load(connection, status_subscribers.c.id == subscriber_id)


def set_aside(connection: Connection, subscriber_id: str, reason: str) -> None:
    """Send nothing more to an address that reaches nobody, until it is confirmed anew."""
    _change(connection, subscriber_id, {"state": "set aside", "reason": reason[:500]})


def forget_unconfirmed(connection: Connection, now: datetime) -> int:
    """Erase those who never confirmed; says how many."""
    old = status_subscribers.c.asked_at < to_micros(now - CONFIRM_WITHIN)
    query = select(status_subscribers.c.id).where(status_subscribers.c.state == "pending", old)
    return sum(_erase(connection, one) for one in connection.scalars(query).all())


def _address(text: str) -> str:
    typed = text.strip()
    try:
        mailbox(typed)
    except ValueError as error:
        raise ConfigError(f"the address {error}") from error
    if len(typed) > LONGEST:
        raise ConfigError(f"the address is longer than {LONGEST} characters")
    return typed


def _confirm(connection: Connection, subscriber_id: str, components: Sequence[str], now: datetime) -> None:
    values = {"state": "confirmed", "components": json.dumps(components), "wanted": json.dumps(components)}
    _change(connection, subscriber_id, {**values, "confirmed_at": to_micros(now), "reason": ""})


def _change(connection: Connection, subscriber_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(status_subscribers).where(status_subscribers.c.id == subscriber_id).values(**values))


def _erase(connection: Connection, subscriber_id: str) -> bool:
    connection.execute(delete(status_mails).where(status_mails.c.subscriber_id == subscriber_id))
    gone = connection.execute(delete(status_subscribers).where(status_subscribers.c.id == subscriber_id))
    return gone.rowcount > 0


def _load(connection: Connection, which: Any) -> Subscriber | None:
    row = connection.execute(select(status_subscribers).where(which)).first()
    return _subscriber(row) if row else None


def _subscriber(row: Any) -> Subscriber:
    return Subscriber(
        id=row.id,
        address=row.address,
        state=row.state,
        components=tuple(json.loads(row.components)),
        wanted=tuple(json.loads(row.wanted)),
        asked_at=from_micros(row.asked_at),
        confirmed_at=from_micros(row.confirmed_at) if row.confirmed_at is not None else None,
        reason=row.reason,
    )
