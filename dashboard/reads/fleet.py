"""Every service with its numbers and its health: read once, shown on the overview, on the map and in the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alerting.incidents.machine import Incident
from dashboard.figures import sparkline
from dashboard.reads.health import Health, judge
from dashboard.reads.series import RedSeries, Served, idle
from dashboard.reads.sources import Sources
from dashboard.urls import View, step_for
from watchkeeper.errors import StateError
from watchkeeper.vocabulary import Finding, Readiness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """One service: its RED over the window in few buckets, what it does now, and how it is."""

    health: Health
    series: RedSeries
    recent: Served


def fleet(sources: Sources, view: View) -> Mapping[str, Member]:
    """All services seen in the window or in the last half hour, worst first, then by name.

    Raises:
        StoreError: the store cannot be read.
    """
    now = sources.now()
    window = view.window(now)
    step = step_for(window, sparkline.MOST)
    series = sources.traffic.red(window, step)
    present = sources.traffic.present()
    judged = (
        sources.itself.unjudged()
        if view.is_live
        else "this time range is in the past; states are shown for the present only"
    )
    findings, unread = _findings(sources)
    readiness = sources.records.readiness() if not unread else {}
    opened = _opened(sources) if not unread else ()
    members: dict[str, Member] = {}
    for name in sorted({*series, *(present if view.is_live else ())}):
        own = series.get(name) or idle(name, window, step)
        live = present.get(name)
        incident = _incident_of(opened, name)
        health = judge(
            name,
            last_served=live.last if live else None,
            findings=findings.get(name, ()) if view.is_live and not judged else (),
            judged=judged or unread or unjudged(readiness.get(name)),
            now=now,
            incident_id=incident.id if incident else None,
            suspected=_suspicion(incident, name),
        )
        recent = live.served if view.is_live and live else own.recent(window.seconds)
        members[name] = Member(health=health, series=own, recent=recent)
    return dict(sorted(members.items(), key=lambda item: (item[1].health.rank, item[0])))


def unjudged(readiness: Readiness | None) -> str:
    """Why no finding about a service does not mean that it is healthy; empty if it does."""
    if readiness is None:
        return "no detector has seen it yet"
    return f"the detectors are learning its baseline: {readiness.reason}" if readiness.stage == "learning" else ""


def _findings(sources: Sources) -> tuple[Mapping[str, list[Finding]], str]:
    """What fires now, by service; with the reason when it cannot be read."""
    by_service: dict[str, list[Finding]] = {}
    try:
        for finding in sources.records.firing():
            by_service.setdefault(finding.service, []).append(finding)
    except StateError as error:
        return {}, f"findings cannot be read: {error.message}"
    return by_service, ""


def _opened(sources: Sources) -> Sequence[Incident]:
    """The open incidents, the newest first, pages before tickets."""
    pages_first = sorted(sources.records.newest(), key=lambda one: one.severity != "page")
    return [incident for incident in pages_first if incident.is_open]


def _incident_of(opened: Sequence[Incident], service: str) -> Incident | None:
    """The first of them that this service is part of."""
    for incident in opened:
        if (
            incident.service == service
            or any(f.service == service for f in incident.findings)
            or _suspicion(incident, service)
        ):
            return incident
    return None


def _suspicion(incident: Incident | None, service: str) -> float | None:
    """How likely this service is the cause, if it is the first suspect of the incident."""
    if incident is None or incident.diagnosis is None or incident.system_state != "firing":
        return None
    diagnosis = incident.diagnosis
    if diagnosis.abstained or not diagnosis.suspects:
        return None
    first = diagnosis.suspects[0]
    return first.probability if first.service == service else None
