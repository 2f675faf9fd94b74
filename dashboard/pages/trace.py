"""One trace: every call of one request as a bar on its time, and its log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, moment, pill
from dashboard.components.wording import count, milliseconds
from dashboard.page import Page, PageRequest
from dashboard.palette import Palette
from dashboard.reads.traces import MOST_SPANS, Step, steps
from dashboard.urls import View
from dashboard.viewer import Viewer

INDENT_PX = 14


def render(request: PageRequest) -> Part:
    """One trace: every call of one request as a bar on its time, and its log lines."""
    trace_id = request.argument
    spans = request.sources.traffic.trace(trace_id)
    if not spans:
        days = f"{request.sources.config.store.retention_days:g} days"
        advice = f"It keeps traces for {days}. This trace may be older, or it was not sampled."
        return [html.H1("No such trace"), empty(f"The store has no span of trace {trace_id}", advice)]
    shown = steps(spans)
    return [_head(trace_id, shown, spans, request.viewer), _calls(shown, spans, request), _logs(request)]


def _head(trace_id: str, shown: Sequence[Step], spans: Sequence[Mapping[str, Any]], viewer: Viewer) -> Part:
    failed = sum(step.failed for step in shown)
    started = min(span["timestamp"] for span in spans)
    words = [
        pill(f"{failed} failed", "failing", "✕") if failed else pill("no failure", "ok", "●"),
        html.Span([moment(started, viewer), f", {milliseconds(shown[0].duration_ms)}"]),
        html.Span(trace_id, className="muted mono"),
    ]
    title = html.H1(f"{shown[0].service}: {shown[0].operation}")
    return html.Div([title, html.Div(words, className="line")])


def _calls(shown: Sequence[Step], spans: Sequence[Mapping[str, Any]], request: PageRequest) -> Part:
    palette = request.viewer.palette
    services = sorted({step.service for step in shown})
    colours = {name: palette.people[i % len(palette.people)] for i, name in enumerate(services)}
    rest = html.P(f"Only the first {MOST_SPANS} are shown.", className="muted") if len(spans) > MOST_SPANS else None
    bars = html.Ol([_bar(step, colours, request.view, palette) for step in shown], className="waterfall")
    return card("Calls", bars, rest, aside=f"{count(len(spans), 'span')}, {count(len(services), 'service')}")


def _logs(request: PageRequest) -> Part:
    lines = request.sources.traffic.trace_logs(request.argument)
    if not lines:
        return card("Log lines of this trace", html.P("No log line has this trace id.", className="muted"))
    items = [_line(line, request.viewer) for line in lines]
    return card("Log lines of this trace", html.Ul(items, className="events"))


def _line(line: Mapping[str, Any], viewer: Viewer) -> Part:
    tone = "failing" if line["severity_number"] >= 17 else "unknown"
    body = html.Span(str(line["body"])[:500], className="mono")
    words = html.Span([html.Strong(line["service"]), " ", pill(line["severity"], tone), " ", body])
    return html.Li([moment(line["timestamp"], viewer), words])


def _bar(step: Step, colours: dict[str, str], view: View, palette: Palette) -> Part:
    colour = palette.failing if step.failed else colours[step.service]
    words = f"{step.service} {step.operation}, {step.kind.lower()}, {milliseconds(step.duration_ms)}"
    return html.Li(
        [
            html.Span(
                [
                    dcc.Link(step.service, href=view.link("/services", service=step.service)),
                    html.Span(f" {step.operation}", className="mono"),
                    html.Span(" ✕ failed", className="bad") if step.failed else None,
                    html.Span(f" {step.message}", className="muted") if step.message else None,
                ],
                className="waterfall-name",
                style={"paddingLeft": f"{min(step.depth, 12) * INDENT_PX}px"},
            ),
            html.Span(
                html.Span(
                    style={
                        "left": f"{step.offset:.2%}",
                        "width": f"max(3px, {step.share:.2%})",
                        "background": colour,
                        "opacity": 0.55 if step.kind == "Client" else 1,
                    },
                    className="waterfall-bar",
                ),
                className="waterfall-lane",
                role="img",
                **{"aria-label": words},
            ),
            html.Span(milliseconds(step.duration_ms), className="number"),
        ],
        title=words,
    )


PAGE = Page(path="/traces/{argument}", title="Trace {argument}", render=render, under="/services")
