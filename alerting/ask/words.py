"""The words that several answers share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from alerting.incidents.machine import Incident
from watchkeeper.durations import duration
from watchkeeper.text import prose, seen_name

_SPAN: Final = re.compile(
    r"\b(?:last|past|within|in the last)\s+(\d{1,3})?\s*(minute|min|m|hour|h|day|d|week|w)s?\b", re.IGNORECASE
)
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST_SPAN: Final = timedelta(days=31)


def holder(incident: Incident, names: Mapping[str, str]) -> str:
    """Who has an incident, in a few words. `names` is what people are called, by id."""
    match incident.human_state:
        case "acknowledged" if incident.acknowledged_by:
            return f"{incident.acknowledged_by.name} has it"
        case "paged":
            return f"{names.get(incident.paged_person, incident.paged_person)} was paged, no answer yet"
        case "snoozed" if incident.snoozed_until:
            return f"snoozed until {incident.snoozed_until:%Y-%m-%d %H:%M} UTC"
        case "silenced" if incident.silenced_until:
            return f"silenced until {incident.silenced_until:%Y-%m-%d %H:%M} UTC"
        case "expired":
            return "nobody answered"
        case "resolved" if incident.resolved_by:
            return f"{incident.resolved_by.name} resolved it"
    return "nobody has it: tickets page nobody" if incident.severity == "ticket" else "nobody has it yet"


def ago(at: datetime, now: datetime) -> str:
    """`14:05 UTC, 12 min ago`; the day where it is another one."""
    when = f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
    return f"{when}, {duration(now - at)} ago"


def headline(incident: Incident, now: datetime, names: Mapping[str, str]) -> str:
    """An open incident in one line."""
    state = "recovered" if incident.system_state == "recovered" else f"since {ago(incident.onset, now)}"
    return f"{incident.id}: {prose(incident.title, 200)} · {state} · {holder(incident, names)}"


def cause(incident: Incident) -> str:
    """What a diagnosis names as the cause, in a sentence; empty where there is none yet."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return ""
    if diagnosis.abstained or not diagnosis.suspects:
        return f"The diagnosis names no cause: {prose(diagnosis.reason, 300)}"
    first = diagnosis.suspects[0]
    return f"Likely cause: {seen_name(first.service)} ({first.mechanism}, {first.probability:.0%})"


def concerns(incident: Incident, service: str) -> bool:
    """Whether an incident is about a service, or suspects it."""
    suspects = incident.diagnosis.suspects[:3] if incident.diagnosis else ()
    return (
        incident.service == service
        or any(finding.service == service for finding in incident.findings)
        or any(suspect.service == service for suspect in suspects)
    )


def span_of(question: str, usual: timedelta, now: datetime) -> timedelta:
    """The time that a question looks back over.

    >>> span_of("what changed in the last 3 hours?", timedelta(hours=2), datetime(2026, 3, 2, 12))
    datetime.timedelta(seconds=10800)
    """
    text = question[:1000]
    if match := _SPAN.search(text):
        return min(LONGEST_SPAN, timedelta(seconds=int(match[1] or 1) * _UNITS[match[2][0].casefold()]))
    plain = text.casefold()
    if "yesterday" in plain:
        return timedelta(hours=now.hour + 24, minutes=now.minute)
    if "today" in plain:
        return max(timedelta(minutes=1), timedelta(hours=now.hour, minutes=now.minute))
    return usual


def path_of(service: str) -> str:
    """The dashboard's map with one service chosen."""
    return f"/services?service={quote(service, safe='', errors='replace')}"
