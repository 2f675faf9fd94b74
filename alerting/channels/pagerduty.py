"""Incidents as PagerDuty's alerts, by Events API v2 (https://developer.pagerduty.com/docs/send-alert-event).

Each incident is one alert: its id is the `dedup_key`, so an event that is sent twice changes nothing. A page and what
fires trigger it, an acknowledgement acknowledges it, a recovery or a resolve resolves it. PagerDuty decides whom it
pages then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from alerting.channels.channel import ChannelContext, ChannelPart, Digest, Message, Thread, Trial
from alerting.channels.plain import OVER, facts, headline, headline_of_many, state_of
from alerting.channels.posting import post
from alerting.channels.receiver import Receiver, serving
from alerting.channels.settings import Settings, read_settings
from alerting.incidents.machine import Incident
from watchkeeper.config import Config, environment
from watchkeeper.config_values import HttpUrl, Variable
from watchkeeper.problems import Problems
from watchkeeper.text import one_line, prose

Action = Literal["trigger", "acknowledge", "resolve"]
ENDPOINT: Final = "https://events.pagerduty.com"
LONGEST_SUMMARY: Final = 1024  # characters, by PagerDuty's documentation
LONGEST_KEY: Final = 255
TEST_KEY: Final = "watchkeeper-test-page"
ACTIONS: Final[Mapping[str, Action]] = {
    "firing": "trigger",
    "acknowledged": "acknowledge",
    "snoozed": "acknowledge",
    "silenced": "acknowledge",
    **dict.fromkeys(OVER, "resolve"),
}


class PagerDutySettings(Settings):
    """`url` is another one for the service region EU: https://events.eu.pagerduty.com."""

    routing_key_env: Variable
    url: HttpUrl = ENDPOINT


class PagerDutyChannel:
    """Incidents as PagerDuty's alerts, by Events API v2. Settings: `routing_key_env`, and `url` for the region EU."""

    def __init__(self, context: ChannelContext, routing_key: str = "") -> None:
        """`routing_key` stands for what the environment holds."""
        settings = read_settings(PagerDutySettings, context.settings)
        self._name = context.name
        self._url = settings.url
        self._key = routing_key or environment(settings.routing_key_env, f"channels.{context.name}.routing_key_env")
        self._web_url = context.config.web_url

    def send(self, message: Message) -> Thread:
        """One event; see alerting.channels.channel.Channel."""
        incident = message.incident
        action = "trigger" if message.kind == "page" else ACTIONS[state_of(incident)]
        details = {name: text for name, text in facts(incident) if name != "Finding"}
        details["Findings"] = "\n".join(text for name, text in facts(incident) if name == "Finding")
        if message.kind == "page":
            details |= {"Paged": message.mention, "Reason": prose(message.text, 1000) if message.text else ""}
        self._event(action, incident.id, headline(incident), incident, details)
        return Thread(conversation=self._name, ts=incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """Several incidents as one alert; the daily list of tickets is none. See alerting.channels.channel.Channel."""
        thread = Thread(conversation=self._name, ts=digest.key[:64])
        if digest.tickets_at:
            return thread
        details = {incident.id: headline(incident) for incident in digest.incidents[:50]}
        if digest.mention:
            details |= {"Paged": digest.mention, "Reason": prose(digest.text, 1000) if digest.text else ""}
        action = "trigger" if digest.mention else _action_of_many(digest.incidents)
        self._event(action, digest.key, headline_of_many(digest.incidents), None, details)
        return thread

    def send_test(self, address: str, text: str) -> Thread:
        """An alert that is marked as a test, and resolved at once; see alerting.channels.channel.Channel."""
        heading, _, rest = text.partition("\n")
        self._event(
            "trigger", TEST_KEY, one_line(heading, 200), None, {"Paged": address, "Test": prose(rest or heading)}
        )
        self._event("resolve", TEST_KEY, one_line(heading, 200), None, {})
        return Thread(conversation=self._name, ts=TEST_KEY)

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - PagerDuty decides whom it pages
        """PagerDuty takes every event that has the right key."""
        return None

    def _event(
        self, action: Action, key: str, summary: str, incident: Incident | None, details: Mapping[str, str]
    ) -> None:
        url = f"{self._web_url}/incidents" + (f"/{incident.id}" if incident else "")
        event: dict[str, Any] = {"routing_key": self._key, "event_action": action, "dedup_key": key[:LONGEST_KEY]}
        if action == "trigger":
            event |= {
                "client": "Watchkeeper",
                "client_url": url,
                "links": [{"href": url, "text": "Open in Watchkeeper"}],
            }
            event["payload"] = {
                "summary": summary[:LONGEST_SUMMARY],
                "source": one_line(incident.service, 255) if incident else "Watchkeeper",
                "severity": "warning" if incident and incident.severity == "ticket" else "critical",
                "custom_details": details,
            }
            if incident:
                event["payload"]["timestamp"] = incident.onset.isoformat()
        post(f"PagerDuty ({self._name})", f"{self._url}/v2/enqueue", json.dumps(event).encode(), {})


def _action_of_many(incidents: Sequence[Incident]) -> Action:
    """What became of all of them: none fires, nobody is asked any more, or else it goes on."""
    actions = {ACTIONS[state_of(incident)] for incident in incidents}
    if "trigger" in actions:
        return "trigger"
    return "acknowledge" if "acknowledge" in actions else "resolve"


class _Events:
    """What PagerDuty checks of an event, and makes of it: one alert a key."""

    def __init__(self, routing_key: str) -> None:
        self._routing_key = routing_key
        self.alerts: dict[str, dict[str, Any]] = {}

    def answer(self, path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        event = json.loads(body)
        if wrong := list(self._wrong(path, event)):
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}
        key, action = event["dedup_key"], event["event_action"]
        alert = self.alerts.get(key)
        if action == "trigger" and (alert is None or alert["state"] == "resolve"):
            self.alerts[key] = {"state": "trigger", "summary": event["payload"]["summary"], "log": [event["payload"]]}
        elif alert and action == "trigger":
            alert["log"].append(event["payload"])
        elif alert:
            alert["state"] = action
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}

    def _wrong(self, path: str, event: Mapping[str, Any]) -> Iterator[str]:
        if path != "/v2/enqueue" or event.get("routing_key") != self._routing_key:
            yield "'routing_key' is invalid"
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is invalid"
        if not 0 < len(event.get("dedup_key", "")) <= LONGEST_KEY:
            yield "'dedup_key' is missing, blank or too long"
        if event.get("event_action") == "trigger":
            payload = event.get("payload", {})
            yield from (
                f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)
            )
            if len(payload.get("summary", "")) > LONGEST_SUMMARY:
                yield "'payload.summary' is too long"
            if payload.get("severity") not in ("critical", "warning", "error", "info"):
                yield "'payload.severity' is invalid"
        if len(json.dumps(event)) > 512 << 10:
            yield "the event is too large"

    def shown(self) -> list[str]:
        words = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
        return [
            f"{words[alert['state']]}: {alert['summary']}\n{json.dumps(alert['log'][0], ensure_ascii=False)}"
            for alert in self.alerts.values()
        ]


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    config = Config(data_dir=folder)
    key = config.secret("trial")
    events = _Events(key)
    receiver = Receiver(events.answer)
    with serving(receiver) as url:
        settings = {"url": url, "routing_key_env": "WATCHKEEPER_TRIAL_KEY"}
        context = ChannelContext(name="pagerduty", settings=settings, config=config, problems=Problems(None))
        yield Trial(
            open=lambda: PagerDutyChannel(context, routing_key=key),
            address="Ana",
            shown=events.shown,
            away=receiver.away,
        )


PAGERDUTY: Final = ChannelPart(
    open=PagerDutyChannel,
    trial=_trial,
    described_by=PagerDutyChannel,
    everybody="whoever PagerDuty pages",
    states_only=True,
)
