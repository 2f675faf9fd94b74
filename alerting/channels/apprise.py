"""Pages by any service that Apprise knows, such as Microsoft Teams, Discord or Telegram.

Apprise answers only whether a service took the message: what the service said goes into its log, which may hold the
URL, and is not kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alerting.channels.channel import ChannelContext, ChannelPart, Digest, Message, Thread, Trial
from alerting.channels.email.letters import Letter, Letters, test_letter
from alerting.channels.receiver import Receiver, serving
from alerting.channels.settings import Settings, read_settings
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config import Config, environment
from watchkeeper.config_values import Variable
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.text import one_line

TIMEOUT_S: Final = 6.0  # to connect, and for an answer: a call of a channel ends within 15 s
NOT_INSTALLED: Final = "the library is missing: install Watchkeeper with its extra `apprise`"


class AppriseSettings(Settings):
    """`url_env` names the environment variable with the service's URL, which holds its password."""

    url_env: Variable


class AppriseChannel:
    """Pages by a service that Apprise knows, such as Microsoft Teams. Setting: `url_env`.

    It shows no updates: most of these services cannot edit a message.
    """

    def __init__(self, context: ChannelContext, clock: Clock | None = None, url: str = "") -> None:
        """`url` stands for what the environment holds."""
        settings = read_settings(AppriseSettings, context.settings)
        self._name = context.name
        url = url or environment(settings.url_env, f"channels.{context.name}.url_env")
        self._service = _service(url, settings.url_env)
        self._clock = clock or SystemClock()
        self._letters = Letters(context, self._clock)

    def send(self, message: Message) -> Thread:
        """One message; see alerting.channels.channel.Channel."""
        letter = self._letters.page(message)
        return self._deliver(letter, key=message.key, thread=message.incident.id, address=message.mention)

    def send_digest(self, digest: Digest) -> Thread:
        """One message about several incidents; see alerting.channels.channel.Channel."""
        return self._deliver(self._letters.digest(digest), key=digest.part, thread=digest.key, address=digest.mention)

    def send_test(self, address: str, text: str) -> Thread:
        """A test page; see alerting.channels.channel.Channel."""
        key = f"test:{self._clock.now().timestamp():.6f}"
        return self._deliver(test_letter(text), key=key, thread=key, address=address)

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - only the service knows
        """Whether somebody reads the room is not known here."""
        return None

    def _deliver(self, letter: Letter, *, key: str, thread: str, address: str) -> Thread:
        # Links come first: what is too long for the service is cut at the end.
        rows = [f"{name}: {text}" for name, text in (*letter.links, *letter.facts)]
        body = "\n".join(filter(None, (f"For {one_line(address, 200)} ({one_line(key, 100)})", letter.why, *rows)))
        title = one_line(letter.subject, 200)
        try:
            taken = self._service.notify(body=body[: self._service.body_maxlen - len(title) - 2], title=title)
        except Exception as error:  # noqa: BLE001 - whatever a service's plugin raises; its text may hold the URL
            why = f"{self._name}: {type(error).__name__} in Apprise's plugin {self._service.service_name}"
            raise DeliveryError(why, retry=True) from None
        if not taken:
            why = f"{self._name}: {self._service.service_name} did not take the message; check its URL and the network"
            raise DeliveryError(why, retry=True)
        return Thread(conversation=self._name, ts=thread[:64])


def _service(url: str, variable: str) -> Any:
    """What sends to a URL.

    Raises:
        ValueError: Apprise is not installed, or knows no such service; the URL is not shown, for it is a secret.
    """
    try:
        import apprise
    except ImportError:
        raise ValueError(NOT_INSTALLED) from None
    # Its log lines hold what services answer, and URLs that it cannot read.
    logging.getLogger("apprise").disabled = True
    service = apprise.Apprise.instantiate(url.strip(), suppress_exceptions=True)
    if service is None:
        kind = one_line(url.partition("://")[0], 20) if "://" in url else ""
        known = kind in {schema for plugin in apprise.Apprise().details()["schemas"] for schema in _schemas(plugin)}
        what = (
            f"is no complete {kind}:// URL" if known else "begins with no service that Apprise knows, as json:// does"
        )
        raise ValueError(f"`url_env`: the URL in {variable} {what}: see docs/operating.md")
    service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_S
    service.request_rate_per_sec = 0  # the outbox keeps the pace
    return service


def _schemas(plugin: Mapping[str, Any]) -> Iterator[str]:
    for place in ("protocols", "secure_protocols"):
        yield from plugin[place] or ()


class _Room:
    """A service that shows each message once, by what Watchkeeper calls it in the message's first line."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def answer(self, _path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        call = json.loads(body)
        first = str(call["message"]).partition("\n")[0]
        self.texts.setdefault(first, f"{call['title']}\n{call['message']}")
        return 200, {}


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    room = _Room()
    receiver = Receiver(room.answer)
    settings = {"url_env": "WATCHKEEPER_TRIAL_URL"}
    config = Config(data_dir=folder)
    context = ChannelContext(name="apprise", settings=settings, config=config, problems=Problems(None))
    with serving(receiver) as url:

        def opened() -> AppriseChannel:
            return AppriseChannel(context, url=url.replace("http://", "json://"))

        yield Trial(open=opened, address="the SRE room", shown=lambda: list(room.texts.values()), away=receiver.away)


APPRISE: Final = ChannelPart(open=AppriseChannel, trial=_trial, described_by=AppriseChannel, shows_updates=False)
