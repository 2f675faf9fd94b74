"""Pages as e-mails, by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, model_validator

from alerting.channels.channel import ChannelContext, Digest, Message, Thread
from alerting.channels.email.letters import Letter, Letters, compose, test_letter
from alerting.channels.settings import Settings, read_settings
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config import environment, is_loopback
from watchkeeper.config_values import FilePath, Host, Port, Text, Variable
from watchkeeper.errors import DeliveryError
from watchkeeper.text import one_line

TIMEOUT_S: Final = 6.0  # of a connection and of each answer; a whole call ends after 15 s
PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


def check_mailbox(text: str) -> None:
    """An e-mail address, alone.

    Raises:
        ValueError: it is something else.
    """
    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    plain = text.isascii() and text.isprintable() and not any(sign in text for sign in " ,;<>()\"'\\")
    if name or address != text or not plain or not local or "." not in domain.strip("."):
        raise ValueError("must be an e-mail address, such as ana@example.com")


def _sender(text: str) -> str:
    """`pager@example.com`, or `Watchkeeper <pager@example.com>`."""
    name, address = parseaddr(text)
    if not text.isprintable() or (name and address not in text):
        raise ValueError("must be an address, such as Watchkeeper <pager@example.com>")
    check_mailbox(address)
    return text


class EmailSettings(Settings):
    """`starttls` and `tls` check the server's certificate, against `ca_file` if it is set."""

    host: Host
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[Text, AfterValidator(_sender)]
    user: Text | None = None
    password_env: Variable | None = None
    ca_file: FilePath | None = None

    @model_validator(mode="after")
    def _password_is_safe(self) -> EmailSettings:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("user and password_env belong together; set both, or neither")
        if self.user and self.security == "none" and not is_loopback(self.host):
            raise ValueError("security: none would send the password in clear; use starttls or tls")
        return self


class EmailChannel:
    """Pages as e-mails. Settings: `host`, `sender`, `port`, `security`, `user`, `password_env`, `ca_file`.

    It shows no updates: an e-mail cannot be edited.
    """

    def __init__(self, context: ChannelContext, clock: Clock | None = None) -> None:
        self._settings = read_settings(EmailSettings, context.settings)
        self._name = context.name
        self._password = ""
        if self._settings.password_env:
            self._password = environment(self._settings.password_env, f"channels.{context.name}.password_env")
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
            check_mailbox(address)
        except ValueError as error:
            raise DeliveryError(f"{address!r} {error}", retry=False, unsent=True) from error
        now = self._clock.now()
        mail = compose(letter, key=key, thread=thread, sender=self._settings.sender, address=address, at=now)
        with self._as_delivery_errors(unsent=True):
            server = self._connect()
        with server:
            self._hand_over(server, mail, address)
        return Thread(conversation=self._name, ts=thread[:64])

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        port = settings.port or PORTS[settings.security]
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, port, timeout=TIMEOUT_S, context=self._tls())
        else:
            server = smtplib.SMTP(settings.host, port, timeout=TIMEOUT_S)
        try:
            if settings.security == "starttls":
                server.starttls(context=self._tls())
            if settings.user:
                server.login(settings.user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._settings.ca_file) if self._settings.ca_file else None)

    def _hand_over(self, server: smtplib.SMTP, mail: EmailMessage, address: str) -> None:
        with self._as_delivery_errors(unsent=False):
            server.send_message(mail, from_addr=parseaddr(self._settings.sender)[1], to_addrs=[address])

    @contextmanager
    def _as_delivery_errors(self, *, unsent: bool) -> Iterator[None]:
        """What went wrong, and whether trying again can help. `unsent`: the server was given nothing yet."""
        where = f"mail server {self._settings.host}"
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise self._refused(f"{where} refused the recipient", code, text) from error
        except smtplib.SMTPAuthenticationError as error:
            why = f"{where} refused the login ({error.smtp_code}); check user and password_env"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except smtplib.SMTPResponseException as error:
            raise self._refused(f"{where} refused", error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            why = f"{where} does not offer what `security` or `user` asks for: {one_line(error, 150)}"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except ssl.SSLCertVerificationError as error:
            why = f"{where} shows a certificate that cannot be trusted ({error.verify_message}); check host and ca_file"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except (OSError, smtplib.SMTPException) as error:
            why = f"{where} cannot be reached: {one_line(error, 150)}"
            raise DeliveryError(why, retry=True, unsent=unsent) from error

    @staticmethod
    def _refused(what: str, code: int, text: bytes | str) -> DeliveryError:
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return DeliveryError(f"{what}: {code} {one_line(said, 150)}", retry=code < 500, unsent=True)
