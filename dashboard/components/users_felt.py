"""What users feel of an incident: each entry point with what fails or is slow there, before the onset and since."""

from __future__ import annotations

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part
from dashboard.components.wording import count, milliseconds, per_second, percent
from dashboard.page import PageRequest
from dashboard.reads.signals import around
from dashboard.reads.users import Felt, entry_points, felt
from dashboard.urls import step_for

SHOWN = 2


def users_felt(request: PageRequest, incident: Incident) -> Part:
    """The entry points that fail, are slow or are missed since the onset, the worst first; or that none is."""
    sources = request.sources
    window = around(incident, request.viewer)
    series = sources.traffic.red(window, step_for(window))
    entries = entry_points(series, lambda: sources.traffic.calls(window))
    if not entries:
        return html.Span("Not known: no service served a request around the onset", className="muted")
    end = incident.recovered_at or incident.resolved_at or request.viewer.now
    hurt = [one for one in felt(series, entries, incident.onset, end) if one.is_hurt]
    if not hurt:
        return html.Span(f"No harm measured at {count(len(entries), 'entry point')}")
    shown = [_hurt(one, request) for one in hurt[:SHOWN]]
    rest = len(hurt) - len(shown)
    return html.Ul([*shown, html.Li(f"and {count(rest, 'more entry point')}") if rest else None], className="plain")


def _hurt(one: Felt, request: PageRequest) -> Part:
    link = dcc.Link(one.entry, href=request.view.link("/services", service=one.entry))
    return html.Li([html.Strong(["Users of ", link]), f": {harm(one)}"])


def harm(one: Felt) -> str:
    """`33 % of requests fail (0 % before), p95 600 ms (30 ms before)`."""
    words = []
    if one.fails:
        words.append(f"{percent(one.since.error_ratio)} of requests fail ({_before(percent(one.before.error_ratio))})")
    if one.is_slow:
        words.append(f"p95 {milliseconds(one.since.p95_ms)} ({milliseconds(one.before.p95_ms)} before)")
    if one.is_missed:
        words.append(f"only {per_second(one.since.per_second)} arrive ({per_second(one.before.per_second)} before)")
    return ", ".join(words)


def _before(text: str) -> str:
    return "before unknown" if text == "–" else f"{text} before"
