"""Alertmanager's webhook: what fires becomes a finding, what is resolved clears it, a heartbeat is neither."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from collectors.alertmanager import parse_webhook
from collectors.otlp import MalformedError
from watchkeeper.bench.own_roles import OwnRoles
from watchkeeper.state.database import Database
from watchkeeper.state.findings import firing_alerts

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def webhook(*alerts: dict[str, Any]) -> dict[str, Any]:
    """A body as Alertmanager sends it, with Grafana's extras."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighErrors"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "watchkeeper",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "orgId": 1,
        "alerts": list(alerts),
    }


def alert(**changes: Any) -> dict[str, Any]:
    """One alert."""
    whole = {
        "status": "firing",
        "labels": {"alertname": "HighErrors", "service": "payments", "severity": "critical"},
        "annotations": {"summary": "Too many errors", "runbook_url": "http://runbook"},
        "startsAt": "2026-03-01T11:58:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f00",
        "silenceURL": "http://grafana/silence",
        "values": {"A": 1},
    }
    return whole | changes


def test_a_firing_alert_is_a_finding() -> None:
    """Service, words, onset and urgency come from the alert; the year 1 means that it still fires."""
    (finding,), resolved = parse_webhook(webhook(alert()), NOW)
    assert (
        finding.service,
        finding.summary,
        finding.severity,
        finding.kind,
    ) == ("payments", "Too many errors", "page", "alert")
    assert finding.onset == datetime(2026, 3, 1, 11, 58, 0, 500_000, tzinfo=UTC)
    assert (finding.attributes["runbook_url"], resolved) == ("http://runbook", [])


def test_a_resolved_alert_has_the_key_it_fired_with() -> None:
    """So that it clears the finding."""
    (finding,), _ = parse_webhook(webhook(alert()), NOW)
    firing, resolved = parse_webhook(webhook(alert(status="resolved", endsAt="2026-03-01T11:59:00Z")), NOW)
    assert ([], [finding.key]) == (firing, resolved)


def test_a_warning_is_a_ticket_and_a_heartbeat_is_nothing() -> None:
    """Severity warning wakes nobody; Watchdog is never a finding."""
    labels = {"alertname": "DiskFills", "job": "node", "severity": "warning"}
    firing, _ = parse_webhook(webhook(alert(labels=labels), alert(labels={"alertname": "Watchdog"})), NOW)
    assert [(finding.service, finding.severity) for finding in firing] == [("node", "ticket")]


@pytest.mark.parametrize(
    "body", [[], {}, webhook() | {"version": "3"}, webhook({"status": "firing"}), webhook(alert(startsAt="soon"))]
)
def test_another_body_is_refused(body: Any) -> None:
    """What is no version 4 webhook raises and says what is wrong."""
    with pytest.raises(MalformedError, match="version 4"):
        parse_webhook(body, NOW)


@pytest.mark.xdist_group("collectors")
def test_alerts_come_and_go_over_http(roles: OwnRoles, http: httpx.Client) -> None:
    """A posted alert fires in the state until its resolution is posted; malformed ones are 400."""
    mark = secrets.token_hex(4)
    db = Database.open(roles.config)
    for status, firing in (("firing", True), ("resolved", False)):
        body = webhook(alert(status=status, fingerprint=mark))
        assert http.post("/api/v1/alerts/alertmanager", json=body).status_code == 200
        assert firing == any(finding.signal == mark for finding in firing_alerts(db))
    assert http.post("/api/v1/alerts/alertmanager", json={"version": "4"}).status_code == 400
