"""An installation whose public updates go to subscribers, and the mail server that they go through."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from protocol import finding

from alerting.incidents.commands import Incidents
from alerting.status_page.mailing import Mailing, mail_server
from alerting.status_page.subscribers import Subscribers
from alerting.status_page.updates import Content, StatusUpdates
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana Souza", via="cli")


class Inbox:
    """What the server took; what it answers for an address that begins with a word."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(self, server, session, envelope, address, options):  # type: ignore[no-untyped-def] # noqa: N802
        for begins, answer in self.answers.items():
            if address.startswith(begins):
                return answer.format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # type: ignore[no-untyped-def] # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        await asyncio.sleep(0.002)
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]


@contextmanager
def receiving() -> Iterator[Inbox]:
    """A mail server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        taken = Inbox(free.getsockname()[1])
    controller = Controller(taken, hostname="127.0.0.1", port=taken.port)
    controller.start()
    yield taken
    controller.stop()


class Installed:
    """An installation at a frozen time."""

    def __init__(self, db: Database, clock: FrozenClock, incidents: Incidents, config: Config) -> None:
        self.db, self.clock, self.config = db, clock, config
        (self.incident_id,) = incidents.observe([finding(clock.now(), "payments-eu1")])
        self.subscribers = Subscribers(db, clock, config)
        self.updates = StatusUpdates(db, clock, config)
        self.problems = Problems(None)
        self.mailing = self.worker()

    def worker(self) -> Mailing:
        server = mail_server(self.config)
        assert server is not None
        return Mailing(self.config, self.db, self.clock, server, self.problems)

    def add(self, *addresses: str, components: tuple[str, ...] = ()) -> None:
        for address in addresses:
            self.subscribers.add(address, components, ANA, confirmed=True)

    def post(self, text: str, *components: str) -> str:
        return self.updates.post(self.incident_id, ANA, text, "public", Content(text=text, components=components)).id

    def states(self) -> dict[str, str]:
        return {one.address: one.state for one in self.subscribers.list()}


def text(mail: EmailMessage, kind: str = "plain") -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())
