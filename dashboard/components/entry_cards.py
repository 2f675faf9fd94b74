"""What users feel now: requests, failures and latency of every entry point, as small multiples."""

from __future__ import annotations

from collections.abc import Mapping

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, health_pill, picture
from dashboard.components.wording import count, milliseconds, per_second, percent
from dashboard.figures.sparkline import red_lines
from dashboard.page import PageRequest
from dashboard.reads.fleet import Member
from dashboard.reads.users import entry_points

SHOWN = 6


def entry_cards(request: PageRequest, members: Mapping[str, Member]) -> Part:
    """The entry points, the worst first; nothing while no service has reported."""
    sources, view = request.sources, request.view
    if not members:
        return None  # the services' card says where to send telemetry
    window = view.window(request.viewer.now)
    series = {name: member.series for name, member in members.items()}
    entries = set(entry_points(series, lambda: sources.traffic.calls(window)))
    shown = [(name, member) for name, member in members.items() if name in entries]
    if not shown:
        advice = "Every service is called by another one. Send the traces of what users reach, such as a gateway."
        return card("What users feel", empty("No entry point is known", advice))
    shown.sort(key=lambda pair: (pair[1].health.rank, -pair[1].recent.per_second, pair[0]))
    rest = len(shown) - SHOWN
    more = dcc.Link(f"and {count(rest, 'more entry point')}", href=view.link("/services")) if rest > 0 else None
    return card(
        "What users feel",
        html.Div([_entry(name, member, request) for name, member in shown[:SHOWN]], className="multiples"),
        html.P(more, className="muted") if more else None,
        aside=count(len(shown), "entry point"),
    )


def _entry(name: str, member: Member, request: PageRequest) -> Part:
    recent = member.recent
    rate, failed, p95 = red_lines(member.series, request.viewer.palette)
    lines = (
        ("Requests", rate, per_second(recent.per_second)),
        ("Failed", failed, percent(recent.error_ratio)),
        ("p95", p95, milliseconds(recent.p95_ms)),
    )
    head = [
        html.H3(dcc.Link(name, href=request.view.link("/services", service=name))),
        health_pill(member.health),
    ]
    return html.Div(
        [
            html.Div(head, className="line"),
            html.Dl(
                [
                    html.Div(
                        [
                            html.Dt(what),
                            html.Dd([picture(line, f"{what} of {name}"), html.Span(now, className="number")]),
                        ]
                    )
                    for what, line, now in lines
                ],
                className="multiple-lines",
            ),
        ],
        className="multiple",
    )
