"""The canary's two ways out of the watch role: to ingest's webhook, and straight to whoever is on call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import httpx

from alerting.canary.canary import Canary
from alerting.channels.channel import Channel, Notice, ShowsNotices
from alerting.channels.deadline import Deadline
from alerting.channels.registry import open_channels
from alerting.incidents.commands import Incidents
from alerting.oncall.chain import default_chain, whom
from alerting.oncall.schedule import stored_overrides
from watchkeeper.clock import Clock
from watchkeeper.config import Config, PersonConfig
from watchkeeper.config_values import bracketed
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.roles import ready
from watchkeeper.state.database import Database
from watchkeeper.text import one_line

PATH: Final = "/api/v1/alerts/alertmanager"
POST_S: Final = 5.0
TITLE: Final = "Watchkeeper's canary failed: pages may not get through"


def open_canary(config: Config, db: Database, clock: Clock, incidents: Incidents, problems: Problems) -> Canary:
    """The canary of a watch role that starts now."""
    return Canary(
        config=config.canary,
        db=db,
        clock=clock,
        incidents=incidents,
        post=lambda body: _post(config, body),
        tell=lambda key, text: tell(config, db, key, text, clock.now()),
        problems=problems,
        began=clock.now(),
    )


def _post(config: Config, body: Mapping[str, Any]) -> None:
    """Post an alert as another system would.

    Raises:
        httpx.HTTPError: ingest is away, or refused it.
    """
    headers = {"Authorization": f"Bearer {config.secret('commands')}"}
    answer = httpx.post(_webhook(config), json=body, headers=headers, timeout=POST_S, trust_env=False)
    answer.raise_for_status()


def _webhook(config: Config) -> str:
    """Where alerts are posted to: as configured, or ingest on this machine."""
    if config.canary.webhook_url:
        return config.canary.webhook_url
    running = ready.read(config, "ingest")
    port = running.ports.get("otlp_http", config.ingest.otlp_http_port) if running else config.ingest.otlp_http_port
    host = config.ingest.host if config.ingest.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared
    return f"http://{bracketed(host)}:{port}{PATH}"


def tell(config: Config, db: Database, key: str, text: str, now: datetime) -> str:
    """Tell whoever is on call by the first channel that takes it: past incidents, outbox and timers.

    Raises:
        DeliveryError: no channel took it; says why each did not.
    """
    opened = open_channels(config, Problems(None))
    called = whom(config.oncall, default_chain(config.oncall).steps[0], now, stored_overrides(db))
    people = [one.person for one in called if one.person]
    refused = dict(opened.broken)
    for name in _in_order(config, tuple(opened.channels)):
        try:
            told = _tell_by(opened.channels[name], name, people, key, text)
        except DeliveryError as error:
            refused[name] = error.message
        except Exception as error:  # noqa: BLE001 - whatever one channel dies of, the next is tried
            refused[name] = f"{type(error).__name__}: {one_line(error, 200)}"
        else:
            return f"{told} by {name}"
    raise DeliveryError("; ".join(f"{name}: {why}" for name, why in refused.items()) or "no channel", retry=True)


def _in_order(config: Config, names: Sequence[str]) -> list[str]:
    """The fallback first; the channel that the canary itself uses, and that may be what is broken, last."""
    return sorted(names, key=lambda name: (name != config.canary.fallback, name == config.canary.channel))


def _tell_by(channel: Channel, name: str, people: Sequence[PersonConfig], key: str, text: str) -> str:
    """Who was told. A channel that shows notices is given one with a key: a repeat is recognised."""
    addresses = {person.name: person.address(name) or "" for person in people if person.address(name)}
    bounded = Deadline(channel, name)
    if isinstance(channel, ShowsNotices):
        notice = Notice(key=key, title=TITLE, text=text, mentions=tuple(addresses.values()))
        try:
            bounded.show_notice(notice, None, maybe_there=True)
        except DeliveryError:
            if not addresses:
                raise
        else:
            return ", ".join(addresses) or "everybody in the channel"
    if not addresses:
        raise DeliveryError("nobody who is on call has an address for it", retry=False, unsent=True)
    for address in addresses.values():  # twice is better than never: a test page has no key
        bounded.send_test(address, f"{TITLE}\n{text}")
    return ", ".join(addresses)
