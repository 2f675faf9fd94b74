"""A mail server by SMTP: how it is reached, and what its refusals mean."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Final, Literal

from pydantic import model_validator

from alerting.channels.settings import Settings
from watchkeeper.config import environment, is_loopback
from watchkeeper.config_values import FilePath, Host, Port, Sender, Text, Variable
from watchkeeper.errors import AddressRefused, DeliveryError
from watchkeeper.text import one_line

TIMEOUT_S: Final = 6.0  # of a connection and of each answer; a whole call ends after 15 s
PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
# An answer to RCPT that is about us or the server, and not about the mailbox (RFC 5321, 4.2.3; RFC 3463, 3.8).
NOT_THE_MAILBOX: Final = frozenset({421, 503, 530, 535, 554})
POLICY: Final = b"5.7."


class EmailSettings(Settings):
    """`starttls` and `tls` check the server's certificate, against `ca_file` if it is set."""

    host: Host
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Sender
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


class MailServer:
    """One server with its login. `name` is the channel whose settings these are."""

    def __init__(self, settings: EmailSettings, name: str) -> None:
        self.settings = settings
        self._password = ""
        if settings.password_env:
            self._password = environment(settings.password_env, f"channels.{name}.password_env")

    @contextmanager
    def connected(self) -> Iterator[smtplib.SMTP]:
        """A connection that took the login.

        Raises:
            DeliveryError: the server cannot be reached, or does not let us in; it was given nothing.
        """
        with self._as_delivery_errors(unsent=True):
            server = self._connect()
        with server:
            yield server

    def hand_over(self, server: smtplib.SMTP, mail: EmailMessage, address: str) -> None:
        """Give it one e-mail for one address. After a refusal the connection takes the next one.

        Raises:
            AddressRefused: it takes nothing for this mailbox, for now or at all.
            DeliveryError: not taken; `retry` says whether trying again can help.
        """
        with self._as_delivery_errors(unsent=False):
            server.send_message(mail, from_addr=parseaddr(mail["From"])[1], to_addrs=[address])

    def _connect(self) -> smtplib.SMTP:
        settings = self.settings
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
        return ssl.create_default_context(cafile=str(self.settings.ca_file) if self.settings.ca_file else None)

    @contextmanager
    def _as_delivery_errors(self, *, unsent: bool) -> Iterator[None]:
        """What went wrong, and whether trying again can help. `unsent`: the server was given nothing yet."""
        where = f"mail server {self.settings.host}"
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            what = f"{where} refused the recipient"
            if code not in NOT_THE_MAILBOX and POLICY not in text:
                raise AddressRefused(_refusal(what, code, text), retry=code < 500) from error
            raise _refused(what, code, text) from error
        except smtplib.SMTPAuthenticationError as error:
            why = f"{where} refused the login ({error.smtp_code}); check user and password_env"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(f"{where} refused", error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            why = f"{where} does not offer what `security` or `user` asks for: {one_line(error, 150)}"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except ssl.SSLCertVerificationError as error:
            why = f"{where} shows a certificate that cannot be trusted ({error.verify_message}); check host and ca_file"
            raise DeliveryError(why, retry=False, unsent=True) from error
        except (OSError, smtplib.SMTPException) as error:
            why = f"{where} cannot be reached: {one_line(error, 150)}"
            raise DeliveryError(why, retry=True, unsent=unsent) from error


def _refused(what: str, code: int, text: bytes | str) -> DeliveryError:
    return DeliveryError(_refusal(what, code, text), retry=code < 500, unsent=True)


def _refusal(what: str, code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{what}: {code} {one_line(said, 150)}"
