"""Incidents as alerts for Alertmanager, or whatever takes its API v2 (`POST /api/v2/alerts`).

As Prometheus does, an alert is sent again while it fires, with an end a few repetitions ahead: should Watchkeeper fall
silent, the alert ends by itself. A recovery or a resolve sends it once more with its real end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from alerting.channels.channel import ChannelContext, ChannelPart, Digest, Message, Thread, Trial
from alerting.channels.plain import OVER, cause, headline, state_of
from alerting.channels.posting import post
from alerting.channels.receiver import Receiver, serving
from alerting.channels.settings import Settings, read_settings
from alerting.incidents.machine import Incident
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config import Config, environment
from watchkeeper.config_values import HttpUrl, Text, Variable
from watchkeeper.problems import Problems
from watchkeeper.text import one_line, prose

# An alert that is not repeated ends after so many repetitions (Prometheus takes four of its resend delay).
ENDS_AFTER: Final = 4
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]


class AlertmanagerSettings(Settings):
    """`labels` are added to every alert, such as `{team: payments}`, for Alertmanager's routes."""

    url: HttpUrl
    token_env: Variable | None = None
    labels: dict[LabelName, Text] = {}  # noqa: RUF012 - pydantic copies it
    repeat_s: Annotated[float, Field(ge=5, le=3600, allow_inf_nan=False)] = 60


class AlertmanagerChannel:
    """Incidents as alerts for Alertmanager. Settings: `url`, `token_env`, `labels`, `repeat_s` (default 60)."""

    def __init__(self, context: ChannelContext, clock: Clock | None = None) -> None:
        self._settings = read_settings(AlertmanagerSettings, context.settings)
        self._name = context.name
        self._headers: dict[str, str] = {}
        if self._settings.token_env:
            token = environment(self._settings.token_env, f"channels.{context.name}.token_env")
            self._headers["Authorization"] = f"Bearer {token}"
        self._web_url = context.config.web_url
        self._clock = clock or SystemClock()

    @property
    def repeat_s(self) -> float:
        """How often an incident that fires is sent again."""
        return self._settings.repeat_s

    def send(self, message: Message) -> Thread:
        """One alert; see alerting.channels.channel.Channel."""
        paged = {"paged": message.mention, "reason": prose(message.text, 500)} if message.kind == "page" else {}
        self._post([self._alert(message.incident, paged)])
        return Thread(conversation=self._name, ts=message.incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """An alert for each incident; the daily list of tickets is none. See alerting.channels.channel.Channel."""
        if not digest.tickets_at:
            paged = {"paged": digest.mention} if digest.mention else {}
            self._post([self._alert(incident, paged) for incident in digest.incidents])
        return Thread(conversation=self._name, ts=digest.key[:64])

    def send_test(self, address: str, text: str) -> Thread:
        """An alert that is marked as a test and ends after a minute; see alerting.channels.channel.Channel."""
        now, (heading, _, rest) = self._clock.now(), text.partition("\n")
        labels = {"alertname": "WatchkeeperTestPage", "severity": "none", **self._settings.labels}
        annotations = {"summary": one_line(heading, 200), "description": prose(rest or heading), "paged": address}
        self._post([self._dated(labels, annotations, now, now + timedelta(minutes=1), "/")])
        return Thread(conversation=self._name, ts="test")

    def unreachable(self, mention: str) -> str | None:  # noqa: ARG002 - Alertmanager's routes decide
        """Alertmanager's routes decide whom an alert reaches."""
        return None

    def _alert(self, incident: Incident, paged: Mapping[str, str]) -> Mapping[str, Any]:
        labels = {
            "alertname": "WatchkeeperIncident",
            "incident": incident.id,
            "service": one_line(incident.service, 255),
            "severity": "critical" if incident.severity == "page" else "warning",
            **self._settings.labels,
        }
        annotations = {
            "summary": one_line(incident.title, 400),
            "description": cause(incident) or headline(incident),
            "state": state_of(incident),
            **paged,
        }
        if incident.acknowledged_by:
            annotations["acknowledged_by"] = one_line(incident.acknowledged_by.name, 60)
        lasts = timedelta(seconds=ENDS_AFTER * self._settings.repeat_s)
        is_over = state_of(incident) in OVER
        ends = _end(incident) if is_over else self._clock.now() + lasts
        return self._dated(labels, annotations, incident.onset, ends, f"/incidents/{incident.id}")

    def _dated(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], begins: datetime, ends: datetime, path: str
    ) -> Mapping[str, Any]:
        return {
            "labels": labels,
            "annotations": {name: text for name, text in annotations.items() if text},
            "startsAt": begins.isoformat(),
            "endsAt": max(begins, ends).isoformat(),
            "generatorURL": self._web_url + path,
        }

    def _post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        url = f"{self._settings.url}/api/v2/alerts"
        post(f"Alertmanager ({self._name})", url, json.dumps(alerts).encode(), self._headers)


def _end(incident: Incident) -> datetime:
    """When an incident ended: nothing fired any more, or somebody resolved it, whichever was first."""
    ends = [at for at in (incident.recovered_at, incident.resolved_at) if at]
    return min(ends, default=incident.opened_at)


class _Alerts:
    """What Alertmanager checks of alerts, and keeps: one for each set of labels."""

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}

    def answer(self, path: str, _headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        alerts = json.loads(body)
        if path != "/api/v2/alerts" or not isinstance(alerts, list):
            return 404, "page not found"
        for alert in alerts:
            begins, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            if not all(alert["labels"].values()) or not alert["labels"].get("alertname"):
                return 400, "a label is empty"
            if ends < begins or begins.tzinfo is None:
                return 400, "start time must be before end time"
            known = self.alerts.setdefault(json.dumps(alert["labels"], sort_keys=True), {"annotations": {}})
            known["annotations"] |= alert["annotations"]
            known |= {"endsAt": ends}
        return 200, {}

    def shown(self) -> list[str]:
        return [f"{labels} {json.dumps(alert['annotations'])}" for labels, alert in self.alerts.items()]


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    alerts = _Alerts()
    receiver = Receiver(alerts.answer)
    with serving(receiver) as url:
        context = ChannelContext(
            name="alertmanager", settings={"url": url}, config=Config(data_dir=folder), problems=Problems(None)
        )
        yield Trial(open=lambda: AlertmanagerChannel(context), address="Ana", shown=alerts.shown, away=receiver.away)


ALERTMANAGER: Final = ChannelPart(
    open=AlertmanagerChannel,
    trial=_trial,
    described_by=AlertmanagerChannel,
    everybody="whoever Alertmanager notifies",
    states_only=True,
)
