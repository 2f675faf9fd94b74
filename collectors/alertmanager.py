"""Alertmanager's webhook, version 4: alerts that somebody else's rules raised become findings here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from collectors.otlp import MalformedError
from watchkeeper.vocabulary import Finding

# Severities that wake nobody. Anything else pages, since a rule's author chose to send it.
QUIET = frozenset({"info", "none", "warning", "ticket", "low"})
SERVICE_LABELS = ("service", "service_name", "app", "job", "instance")
HEARTBEAT = "Watchdog"


class AlertBody(BaseModel):
    """One alert; what Grafana adds is accepted and kept out."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: datetime  # noqa: N815 - the webhook's own name
    endsAt: datetime | None = None  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""


class WebhookBody(BaseModel):
    """The webhook's body."""

    version: Literal["4"]
    alerts: list[AlertBody]


def parse_webhook(body: Any, now: datetime) -> tuple[list[Finding], list[str]]:
    """The findings of the alerts that fire, and the keys of those that are resolved.

    `endsAt` in the year 1 means still firing. The heartbeat alert is neither.

    Raises:
        MalformedError: not a version 4 webhook; names each wrong key.
    """
    try:
        webhook = WebhookBody.model_validate(body)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
        raise MalformedError("not an Alertmanager webhook of version 4: " + "; ".join(wrong)) from error
    firing: list[Finding] = []
    resolved: list[str] = []
    for alert in webhook.alerts:
        if alert.labels.get("alertname") == HEARTBEAT:
            continue
        finding = _finding(alert, now)
        if alert.status == "resolved":
            resolved.append(finding.key)
        else:
            firing.append(finding)
    return firing, resolved


def _finding(alert: AlertBody, now: datetime) -> Finding:
    name = alert.labels.get("alertname", "alert")
    service = next((alert.labels[label] for label in SERVICE_LABELS if alert.labels.get(label)), "unknown_service")
    started = alert.startsAt if alert.startsAt.tzinfo else alert.startsAt.replace(tzinfo=UTC)
    labels = ",".join(f"{key}={value}" for key, value in sorted(alert.labels.items()))
    runbook = {"runbook_url": alert.annotations["runbook_url"]} if "runbook_url" in alert.annotations else {}
    return Finding(
        detector="alertmanager",
        detector_version="4",
        kind="alert",
        service=service,
        summary=alert.annotations.get("summary") or alert.annotations.get("description") or name,
        onset=min(started.astimezone(UTC), now),
        seen_at=now,
        score=1.0,
        severity="ticket" if alert.labels.get("severity", "").lower() in QUIET else "page",
        signal=alert.fingerprint or labels,
        attributes={"alertname": name, "labels": labels, "url": alert.generatorURL} | runbook,
    )
