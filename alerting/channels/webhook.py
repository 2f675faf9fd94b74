"""Pages as signed HTTP calls, for gateways to SMS and telephones and for programs of your own.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com), for which there are libraries:
HMAC-SHA256 with the secret over `<webhook-id>.<webhook-timestamp>.<body>`, as base64 after `v1,`. A receiver checks it
before it reads the body, refuses a timestamp that is five minutes off, and does nothing for a `webhook-id` it knows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from alerting.channels.ack_links import AckLinks
from alerting.channels.channel import ChannelContext, ChannelPart, Digest, Message, Thread, Trial
from alerting.channels.plain import cause, headline, headline_of_many, state_of
from alerting.channels.posting import post
from alerting.channels.receiver import Receiver, serving
from alerting.channels.settings import Settings, read_settings
from alerting.incidents.machine import Incident
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config import Config, environment
from watchkeeper.config_values import HttpUrl, Variable
from watchkeeper.problems import Problems
from watchkeeper.text import one_line, prose

VERSION: Final = "1"
SHORTEST_SECRET: Final = 16  # characters
PREFIX: Final = "whsec_"
LISTED: Final = 200  # incidents of a digest


class WebhookSettings(Settings):
    """`updates: true` also posts what becomes of an incident, which a telephone has no use for."""

    url: HttpUrl
    secret_env: Variable
    updates: bool = False


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of a body.

    >>> sign("0123456789abcdef", "inc-1:3:sms", 1760000000, b"{}")
    'v1,Ph/S69XGGbb+zvzqk2igFNoSWdPmlfIDvskhBKsVxe0='
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    """The key: what stands after `whsec_` is base64, anything else is taken as it is."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


class WebhookChannel:
    """Pages as signed HTTP calls. Settings: `url`, `secret_env`, and `updates` (default false)."""

    def __init__(self, context: ChannelContext, clock: Clock | None = None, secret: str = "") -> None:
        """`secret` stands for what the environment holds."""
        settings = read_settings(WebhookSettings, context.settings)
        self._name = context.name
        self._url = settings.url
        self._secret = secret or environment(settings.secret_env, f"channels.{context.name}.secret_env")
        try:
            too_short = len(_key(self._secret)) < SHORTEST_SECRET
        except binascii.Error:
            raise ValueError(f"{settings.secret_env} must hold base64 after {PREFIX}") from None
        if too_short:
            raise ValueError(f"{settings.secret_env} must hold at least {SHORTEST_SECRET} characters")
        self._web_url = context.config.web_url
        self._links = AckLinks(context.config)
        self._clock = clock or SystemClock()

    def send(self, message: Message) -> Thread:
        """One call; see alerting.channels.channel.Channel."""
        now, incident = self._clock.now(), message.incident
        ack_url = self._links.url(incident.id, self._name, message.mention, now) if message.kind == "page" else ""
        self._post(
            message.key,
            now,
            type=message.kind,
            to=message.mention,
            title=headline(incident),
            text=prose(message.text, 1000) if message.text else "",
            acknowledge_url=ack_url,
            incident=self._described(incident),
        )
        return Thread(conversation=self._name, ts=incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """One call about several incidents; see alerting.channels.channel.Channel."""
        kind = "tickets" if digest.tickets_at else "digest" if digest.mention else "digest_update"
        self._post(
            digest.part,
            self._clock.now(),
            type=kind,
            to=digest.mention,
            title=headline_of_many(digest.incidents),
            text=prose(digest.text, 1000) if digest.text else "",
            digest=digest.key,
            incidents=[self._described(incident) for incident in digest.incidents[:LISTED]],
        )
        return Thread(conversation=self._name, ts=digest.key[:64])

    def send_test(self, address: str, text: str) -> Thread:
        """A call of type `test`; see alerting.channels.channel.Channel."""
        now, (heading, _, rest) = self._clock.now(), text.partition("\n")
        key = f"test:{now.timestamp():.6f}"
        self._post(key, now, type="test", to=address, title=one_line(heading, 200), text=prose(rest or heading, 1000))
        return Thread(conversation=self._name, ts=key)

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - only the gateway knows
        """A gateway answers the call itself."""
        return None

    def _described(self, incident: Incident) -> Mapping[str, Any]:
        return {
            "id": incident.id,
            "version": incident.version,
            "title": one_line(incident.title, 400),
            "service": one_line(incident.service, 255),
            "severity": incident.severity,
            "level": incident.level,
            "state": state_of(incident),
            "firing": incident.system_state == "firing",
            "onset": incident.onset.isoformat(),
            "opened_at": incident.opened_at.isoformat(),
            "acknowledged_by": incident.acknowledged_by.name if incident.acknowledged_by else None,
            "resolved_by": incident.resolved_by.name if incident.resolved_by else None,
            "cause": cause(incident),
            "url": f"{self._web_url}/incidents/{incident.id}",
        }

    def _post(self, key: str, now: datetime, **content: object) -> None:
        # The id must hold no full stop: it ends at the first one in what is signed.
        message_id, timestamp = key.replace(".", "-"), int(now.timestamp())
        body = json.dumps({"version": VERSION, "id": message_id, "at": now.isoformat(), **content}).encode()
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secret, message_id, timestamp, body),
        }
        post(f"webhook {self._name}", self._url, body, headers)


class _Gateway:
    """What a receiver should do: check the signature, pass by an id that it knows, keep one entry an incident."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._ids: set[str] = set()
        self.pages: list[str] = []
        self.states: dict[str, str] = {}

    def answer(self, _path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        message_id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        if not hmac.compare_digest(sign(self._secret, message_id, timestamp, body), headers["webhook-signature"]):
            return 401, {"error": "wrong signature"}
        if message_id in self._ids:
            return 200, {"known": True}
        self._ids.add(message_id)
        call = json.loads(body)
        if call["type"] in ("page", "digest", "test"):
            self.pages.append(f"{call['to']}: {call['title']} {call['text']}")
        else:
            self.states[call.get("digest") or call["incident"]["id"]] = call["title"]
        return 200, {}

    def shown(self) -> list[str]:
        return [*self.pages, *self.states.values()]


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    config = Config(data_dir=folder)
    secret = config.secret("trial")
    gateway = _Gateway(secret)
    receiver = Receiver(gateway.answer)
    with serving(receiver) as url:
        settings = {"url": url, "secret_env": "WATCHKEEPER_TRIAL_SECRET"}
        context = ChannelContext(name="webhook", settings=settings, config=config, problems=Problems(None))

        def opened() -> WebhookChannel:
            return WebhookChannel(context, secret=secret)

        yield Trial(open=opened, address="+49 30 1234", shown=gateway.shown, away=receiver.away)


WEBHOOK: Final = ChannelPart(
    open=WebhookChannel,
    trial=_trial,
    described_by=WebhookChannel,
    shows_updates=lambda settings: settings.get("updates") is True,
)
