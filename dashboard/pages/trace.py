"""One trace: every call of one request as a bar on its time, and its log lines."""

from __future__ import annotations

from collections.abc import Callable

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, moment, pill
from dashboard.components.wording import count, milliseconds
from dashboard.palette import Palette
from dashboard.reads.sources import Sources
from dashboard.reads.traces import MOST_SPANS, Step, steps
from dashboard.urls import View
from dashboard.viewer import Viewer

INDENT_PX = 14


def renderer(trace_id: str) -> Callable[[Sources, View, Viewer], Part]:
    """The page of one trace."""

    def render(sources: Sources, view: View, viewer: Viewer) -> Part:
        spans = sources.trace(trace_id)
        if not spans:
            return [
                html.H1("No such trace"),
                empty(
                    f"The store has no span of trace {trace_id}",
                    f"It keeps traces for {sources.config.store.retention_days:g} days. This trace may be older, "
                    "or it was not sampled.",
                ),
            ]
        return _page(sources, trace_id, spans, view, viewer)

    return render


def _page(sources: Sources, trace_id: str, spans: list[dict[str, object]], view: View, viewer: Viewer) -> Part:
    shown = steps(spans)
    root = shown[0]
    services = sorted({step.service for step in shown})
    colours = {name: viewer.palette.people[i % len(viewer.palette.people)] for i, name in enumerate(services)}
    failed = sum(1 for step in shown if step.failed)
    started = min(span["timestamp"] for span in spans)  # type: ignore[type-var]
    lines = sources.trace_logs(trace_id)
    return [
        html.Div(
            [
                html.H1(f"{root.service}: {root.operation}"),
                html.Div(
                    [
                        pill(f"{failed} failed", "failing", "✕") if failed else pill("no failure", "ok", "●"),
                        html.Span([moment(started, viewer), f", {milliseconds(root.duration_ms)}"]),  # type: ignore[arg-type]
                        html.Span(trace_id, className="muted mono"),
                    ],
                    className="line",
                ),
            ]
        ),
        card(
            "Calls",
            html.Ol([_bar(step, colours, view, viewer.palette) for step in shown], className="waterfall"),
            html.P(f"Only the first {MOST_SPANS} are shown.", className="muted") if len(spans) > MOST_SPANS else None,
            aside=f"{count(len(spans), 'span')}, {count(len(services), 'service')}",
        ),
        card(
            "Log lines of this trace",
            html.Ul(
                [
                    html.Li(
                        [
                            moment(line["timestamp"], viewer),
                            html.Span(
                                [
                                    html.Strong(line["service"]),
                                    " ",
                                    pill(line["severity"], "failing" if line["severity_number"] >= 17 else "unknown"),
                                    " ",
                                    html.Span(str(line["body"])[:500], className="mono"),
                                ]
                            ),
                        ]
                    )
                    for line in lines
                ],
                className="events",
            )
            if lines
            else html.P("No log line has this trace id.", className="muted"),
        ),
    ]


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
