"""Pages as e-mails, by SMTP."""

from __future__ import annotations

from alerting.channels.channel import ChannelContext, Digest, Message, Thread
from alerting.channels.email.letters import Letter, Letters, compose, test_letter
from alerting.channels.email.server import EmailSettings, MailServer
from alerting.channels.settings import read_settings
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config_values import mailbox
from watchkeeper.errors import DeliveryError


class EmailChannel:
    """Pages as e-mails. Settings: `host`, `sender`, `port`, `security`, `user`, `password_env`, `ca_file`.

    It shows no updates: an e-mail cannot be edited.
    """

    def __init__(self, context: ChannelContext, clock: Clock | None = None) -> None:
        self._settings = read_settings(EmailSettings, context.settings)
        self._name = context.name
        self._server = MailServer(self._settings, context.name)
        self._clock = clock or SystemClock()
        self._letters = Letters(context, self._clock)

    def send(self, message: Message) -> Thread:
        """One e-mail; see alerting.channels.channel.Channel."""
        letter = self._letters.page(message)
        return self._deliver(letter, key=message.key, thread=message.incident.id, address=message.mention)

    def send_digest(self, digest: Digest) -> Thread:
        """One e-mail about several incidents; see alerting.channels.channel.Channel."""
        return self._deliver(self._letters.digest(digest), key=digest.part, thread=digest.key, address=digest.mention)

    def send_test(self, address: str, text: str) -> Thread:
        """A test page; see alerting.channels.channel.Channel."""
        key = f"test {address} {self._clock.now().timestamp()}"
        return self._deliver(test_letter(text), key=key, thread=key, address=address)

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - it knows no more than the address
        """A mail server tells when the e-mail is sent, or much later: never here."""
        return None

    def _deliver(self, letter: Letter, *, key: str, thread: str, address: str) -> Thread:
        try:
            mailbox(address)
        except ValueError as error:
            raise DeliveryError(f"{address!r} {error}", retry=False, unsent=True) from error
        now = self._clock.now()
        mail = compose(letter, key=key, thread=thread, sender=self._settings.sender, address=address, at=now)
        with self._server.connected() as server:
            self._server.hand_over(server, mail, address)
        return Thread(conversation=self._name, ts=thread[:64])
