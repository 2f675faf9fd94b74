"""Services in a table, worst first, with their requests, failures and latency."""

from __future__ import annotations

from collections.abc import Mapping

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, health_pill, picture, pill, table
from dashboard.components.wording import count, likely, milliseconds, per_second, percent
from dashboard.figures.sparkline import red_lines
from dashboard.page import PageRequest
from dashboard.reads.fleet import Member
from watchkeeper.config import Config
from watchkeeper.config_values import bracketed

HEADS = ["Service", "State", "Requests", "Failed", "p95 latency"]


def services_table(request: PageRequest, members: Mapping[str, Member], most: int) -> Part:
    """The `most` services that need a look, or where to send telemetry while there is no service."""
    if not members:
        return card("Services", _no_service(request.sources.config))
    rows = [_row(name, member, request) for name, member in list(members.items())[:most]]
    caption = "Services, worst first"
    every = dcc.Link(f"All {count(len(members), 'service')}", href=request.view.link("/services", service=None))
    return card(
        "Services",
        table(HEADS, rows, caption=caption, kind="services-table"),
        html.P(every, className="rest") if len(members) > most else None,
        aside=_summary(members),
    )


def _no_service(config: Config) -> Part:
    address = html.Code(f"http://{bracketed(config.ingest.host)}:{config.ingest.otlp_http_port}")
    where = ["Send telemetry with an OpenTelemetry exporter to ", address, " (OTLP over HTTP). "]
    return empty(
        "No service has reported yet",
        html.Span([*where, "A service appears with its first request."]),
        html.Span(["To try Watchkeeper on a demo system, run ", html.Code("watchkeeper demo"), "."]),
    )


def _summary(members: Mapping[str, Member]) -> str:
    unhealthy = sum(member.health.state in ("failing", "silent") for member in members.values())
    if unhealthy:
        return f"{unhealthy} of {len(members)} failing or silent"
    if all(member.health.state == "ok" for member in members.values()):
        return f"all {len(members)} ok"
    return count(len(members), "service")


def _row(name: str, member: Member, request: PageRequest) -> Part:
    recent, health = member.recent, member.health
    reason = html.Div(health.reason, className="reason") if health.state != "ok" else None
    suspected = pill(f"suspected cause {likely(health.suspected)}", "failing", "◎") if health.suspected else None
    link = dcc.Link(name, href=request.view.link("/services", service=name))
    rate, failed, p95 = red_lines(member.series, request.viewer.palette)
    return html.Tr(
        [
            html.Th([link, suspected, reason], scope="row"),
            html.Td(health_pill(health)),
            _cell(rate, f"requests to {name}", per_second(recent.per_second)),
            _cell(failed, f"failed requests to {name}", percent(recent.error_ratio)),
            _cell(p95, f"p95 latency of {name}", milliseconds(recent.p95_ms)),
        ],
        tabIndex=0,
        **{"data-row": name},
    )


def _cell(line: str, words: str, number: str) -> Part:
    return html.Td([picture(line, words), html.Span(number, className="number")], className="cell")
