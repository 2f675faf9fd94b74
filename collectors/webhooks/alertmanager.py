"""Alertmanager's webhook, and those of others in its shape: alerts that somebody else's rules raised.

Each alert is read on its own. One that cannot be used is set aside with its reason, and the others are taken. What is
odd but harmless (a start time beyond any calendar, a blank summary, a label that is no text) is made to fit instead: a
page must not be lost over it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collectors.receivers.rejections import MalformedError
from collectors.source import SourceContext
from collectors.webhooks.heartbeats import serve_heartbeats
from collectors.webhooks.instants import EARLIEST, EPOCH, parse_instant
from watchkeeper.names import bounded, shortened
from watchkeeper.problems import Problems
from watchkeeper.text import one_line
from watchkeeper.vocabulary import AlertDetails, AlertNotice, Finding

PATH: Final = "/api/v1/alerts/alertmanager"
LOOP: Final = "alerts"
MOST_REPORTED: Final = 100  # kinds of alert of one body that are named among the role's problems
# Severities that page nobody. Anything else pages, since a rule's author chose to send it.
QUIET: Final = frozenset({"info", "none", "warning", "ticket", "low"})
# The first that is there names the service.
SERVICE_LABELS: Final = ("service", "service_name", "app", "job", "instance")
USED_LABELS: Final = ("alertname", "severity", *SERVICE_LABELS)  # kept before others where there are too many
HEARTBEAT: Final = "Watchdog"
# Telemetry is not kept as long: an alert that began earlier is shown as this old.
OLDEST_ONSET: Final = timedelta(days=7)
LONGEST_SUMMARY: Final = 2000  # characters, also of an address: what Slack shows of a section is 3000
LONGEST_VALUE: Final = 1000  # characters of one label's value
MOST_LABELS: Final = 100  # of one alert
LONGEST_LABELS: Final = 4000  # characters of all labels in one text
SHOWN: Final = 20  # of what was set aside, in an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An alert of a body that could not be used (or only in part): which one, what it is called, and why."""

    index: int
    name: str
    reason: str
    used: bool = False  # taken all the same, changed to fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What one request holds.

    Attributes:
        notices: the alerts that can be used, in their order.
        set_aside: the others, and those that were changed to fit.
        heartbeats: alerts that only show that the sender is alive.
        is_alive: whether one of them fires; one that is resolved shows the contrary.
        truncated: how many alerts the sender left out of the body, by its own count.
        sender: the receiver and group that the sender names.
    """

    notices: tuple[AlertNotice, ...]
    set_aside: tuple[SetAside, ...]
    heartbeats: int
    is_alive: bool
    truncated: int
    sender: str


class AlertmanagerWebhook:
    """Alertmanager's webhook, and Grafana's: alerts of other systems' rules."""

    section = "ingest"

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        context.http.add_json(PATH, self.take)
        serve_heartbeats(context)  # a sender's Watchdog is one of them
        self._watchdog_is_expected = any(each.name == HEARTBEAT for each in context.config.heartbeats)

    def run(self) -> None:
        """The port does the work."""
        self._context.stop.wait()

    def take(self, body: Any) -> dict[str, Any]:
        """Keep a webhook's alerts, and answer with what became of them.

        Raises:
            MalformedError: not a webhook, or nothing in it can be used.
            DatabaseError: it could not be kept, or only in part; send it again, which does nothing twice.
        """
        webhook = parse_webhook(body, datetime.now(UTC), self._context.config.ingest.alerts_per_request)
        recorded = self._context.sinks.alerts(webhook.notices)
        if webhook.is_alive and self._watchdog_is_expected:
            self._context.sinks.heartbeat(HEARTBEAT)
        report_set_aside(webhook, self._context.problems)
        answer: dict[str, Any] = {"firing": recorded.firing, "resolved": recorded.resolved}
        if recorded.late:
            answer["late"] = recorded.late
        if webhook.truncated:
            answer["truncated"] = webhook.truncated
        if webhook.set_aside:
            answer["set_aside"] = summary_of(webhook.set_aside)
        return answer


def report_set_aside(webhook: Webhook, problems: Problems) -> None:
    """Keep what was set aside where an operator looks; each kind of an alert once for one body."""
    reasons: dict[str, tuple[str, int]] = {}
    for each in webhook.set_aside:
        reason, count = reasons.get(each.name, (each.reason, 0))
        reasons[each.name] = (reason, count + 1)
    known = {problem.subject for problem in problems.current() if problem.loop == LOOP}
    for name, (reason, count) in list(reasons.items())[:MOST_REPORTED]:
        problems.report(LOOP, name, f"{reason} ({count} in one body)" if count > 1 else reason)
    if webhook.truncated:
        advice = "raise max_alerts there, or group by fewer labels"
        reason = f"the sender left {webhook.truncated} alerts out of its body: {advice}"
        problems.report(LOOP, webhook.sender, reason)
    elif webhook.sender in known:
        problems.solved(LOOP, webhook.sender)
    if known - reasons.keys():
        names = {notice.finding.alert.name for notice in webhook.notices if notice.finding.alert}
        for name in names & known - reasons.keys():
            problems.solved(LOOP, name)


def parse_webhook(body: Any, now: datetime, most: int = 50_000) -> Webhook:
    """The alerts of a body; those after the first `most` are set aside.

    A start time in the year 1 (Go's zero time) means that the sender does not know it, and an end time there that the
    alert still fires.

    Raises:
        MalformedError: not the webhook's shape, or no alert in it can be used; says what is wrong with each.
    """
    if not isinstance(body, dict) or not isinstance(body.get("alerts"), list):
        raise MalformedError(
            "not an Alertmanager webhook (version 4, or Grafana's 1): "
            "the body must be an object whose key `alerts` is a list of alerts"
        )
    alerts = body["alerts"]
    truncated = _count(body.get("truncatedAlerts"))
    notices: list[AlertNotice] = []
    set_aside: list[SetAside] = []
    heartbeats, is_alive = 0, False
    for index, alert in enumerate(alerts[:most]):
        try:
            labels = _labels(alert)
            if labels.get("alertname") == HEARTBEAT:
                heartbeats += 1
                is_alive = is_alive or not _is_resolved(alert.get("status"), body.get("status"))
                continue
            notice, doubt = _notice(alert, labels, body, now, truncated)
        except (ValueError, RecursionError) as error:
            set_aside.append(SetAside(index=index, name=_name(alert), reason=one_line(error)))
            continue
        notices.append(notice)
        if doubt:
            set_aside.append(SetAside(index=index, name=_name(alert), reason=doubt, used=True))
    for index in range(most, len(alerts)):
        reason = f"the body holds over {most} alerts (ingest.alerts_per_request); group them, or set max_alerts there"
        set_aside.append(SetAside(index=index, name=_name(alerts[index]), reason=reason))
    if alerts and not notices and not heartbeats:
        wrong = "; ".join(f"alerts.{each.index}: {each.reason}" for each in set_aside[:SHOWN])
        more = f"; and {len(set_aside) - SHOWN} more" if len(set_aside) > SHOWN else ""
        raise MalformedError(f"no alert of this Alertmanager webhook (version 4) can be used: {wrong}{more}")
    return Webhook(
        notices=tuple(notices),
        set_aside=tuple(set_aside),
        heartbeats=heartbeats,
        is_alive=is_alive,
        truncated=truncated,
        sender=one_line(f"{body.get('receiver') or 'unnamed receiver'} {body.get('groupKey') or ''}", 120),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0


def _notice(
    alert: Any, labels: Mapping[str, str], body: Mapping[str, Any], now: datetime, truncated: int
) -> tuple[AlertNotice, str]:
    """One alert, and what about it had to be changed, if anything.

    Raises:
        ValueError: it cannot be used; says which key and why.
    """
    annotations = alert.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    resolved = _is_resolved(alert.get("status"), body.get("status"))
    started, doubt = _instant("startsAt", alert.get("startsAt"))
    ends_at, odd_end = _instant("endsAt", alert.get("endsAt"))
    finding = _finding(alert, labels, annotations, started, now, 0 if resolved else truncated)
    return (
        # An end that has passed is no end of what still fires: clocks differ.
        AlertNotice(finding=finding, resolved=resolved, started=started, ends_at=None if resolved else ends_at),
        doubt or odd_end or _too_many(alert["labels"]),
    )


def _finding(
    alert: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, Any],
    started: datetime | None,
    now: datetime,
    truncated: int,
) -> Finding:
    name = labels.get("alertname", "").strip() or "alert"
    service = next((labels[label].strip() for label in SERVICE_LABELS if labels.get(label, "").strip()), "")
    texts = (_text(annotations.get("summary")), _text(annotations.get("description")), name)
    summary = shortened(next(text.strip() for text in texts if text.strip()), LONGEST_SUMMARY)
    runbook = _text(annotations.get("runbook_url")).strip()
    described = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    fingerprint = alert.get("fingerprint")
    fingerprint = _text(fingerprint).strip() if isinstance(fingerprint, (str, int)) else ""
    url = alert.get("generatorURL")
    details = AlertDetails(
        name=bounded(name),
        labels=shortened(described, LONGEST_LABELS),
        url=shortened(url, LONGEST_SUMMARY) if isinstance(url, str) else "",
        runbook_url=shortened(runbook, LONGEST_SUMMARY),
        truncated=truncated,
    )
    if truncated:
        summary += f" (+{truncated} {'alert' if truncated == 1 else 'alerts'} of its group that the sender cut off)"
    return Finding(
        detector="alertmanager",
        detector_version="4",
        kind="alert",
        service=bounded(one_line(service, 100_000)) if service else "unknown_service",
        summary=summary,
        onset=now if started is None else max(min(started, now), now - OLDEST_ONSET),
        seen_at=now,
        score=1.0,
        severity="ticket" if labels.get("severity", "").strip().lower() in QUIET else "page",
        signal=bounded(fingerprint or described),
        alert=details,
    )


def _labels(alert: Any) -> dict[str, str]:
    if not isinstance(alert, dict):
        raise ValueError(f"must be an object, not {_kind(alert)}")  # noqa: TRY004 - of the sender's JSON, not of a type
    labels = alert.get("labels")
    if not isinstance(labels, dict):
        raise ValueError(f"labels must be an object, not {_kind(labels)}")  # noqa: TRY004
    # What pages, and whom, first: of too many labels the others are left out.
    first = [key for key in (*USED_LABELS, *labels) if key in labels]
    kept = list(dict.fromkeys(first))[:MOST_LABELS]
    return {bounded(key): bounded(_text(labels[key]), LONGEST_VALUE) for key in kept}


def _too_many(labels: Mapping[str, Any]) -> str:
    return f"it has {len(labels)} labels; only {MOST_LABELS} were kept" if len(labels) > MOST_LABELS else ""


def _text(value: Any) -> str:
    """A value of JSON as a label's text: what is no text is taken as its JSON, and null as nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, sort_keys=True)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing" if value is None else "something else")


def _is_resolved(own: Any, of_all: Any) -> bool:
    for status in (own, of_all):
        if status is None:
            continue
        word = status.strip().lower() if isinstance(status, str) else ""
        if word in ("firing", "resolved"):
            return word == "resolved"
        break
    raise ValueError(f"status must be firing or resolved, not {_shown(own)}")


def _instant(key: str, value: Any) -> tuple[datetime | None, str]:
    """A time of an alert, None where it says none, and a sentence where it cannot be read."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, ""
    try:
        at = parse_instant(value)
    except ValueError as error:
        return None, f"{key}: {error}; taken as unknown"
    # The zero time, with any offset, and the zero of Unix time: whoever wrote it knew none.
    return (None if at.year <= EARLIEST.year or at <= EPOCH else at), ""


def _name(alert: Any) -> str:
    labels = alert.get("labels") if isinstance(alert, dict) else None
    name = labels.get("alertname") if isinstance(labels, dict) else None
    return one_line(_text(name), 100) if name else "an alert without a name"


def _shown(value: Any) -> str:
    return one_line(json.dumps(value), 60)


def summary_of(set_aside: Sequence[SetAside]) -> list[dict[str, Any]]:
    """What the sender learns of what was set aside: the first few."""
    return [
        {"index": each.index, "alert": each.name, "reason": each.reason, "used": each.used}
        for each in set_aside[:SHOWN]
    ]
