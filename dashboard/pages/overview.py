"""What is wrong now: open incidents first, then every service, then Watchkeeper itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.commands import command_button
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, facts, health_pill, moment, picture, pill, table
from dashboard.components.incident_words import (
    cause,
    is_open,
    is_unanswered,
    lasted,
    link,
    opened_by,
    owner,
    state_pills,
    urgency,
)
from dashboard.components.wording import ago, count, duration, likely, milliseconds, per_second, percent
from dashboard.figures.sparkline import sparkline
from dashboard.reads.fleet import Member, fleet
from dashboard.reads.oncall import on_duty
from dashboard.reads.sources import STALE_AFTER, Role, Sources
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.config_values import bracketed
from watchkeeper.errors import StoreError
from watchkeeper.vocabulary import utc

SHOWN = 5


def render(sources: Sources, view: View, viewer: Viewer) -> Part:
    """Incidents over the full width; then services beside Watchkeeper's own state."""
    return [
        html.H1("Overview", className="unseen"),
        html.Div(view.problem, className="note", role="status") if view.problem else None,
        attempt("The incidents", lambda: _now(sources, viewer)),
        attempt("What was set aside", lambda: _set_aside(sources, viewer)),
        html.Div(
            [
                html.Div(attempt("The services", lambda: _services(sources, view, viewer)), className="wide"),
                html.Div(
                    [
                        attempt("Who is on call", lambda: _duty(sources, viewer)),
                        attempt("Watchkeeper’s own state", lambda: _itself(sources, viewer)),
                        attempt("Changes", lambda: _changes(sources, view, viewer)),
                        attempt("Recent incidents", lambda: _recent(sources, viewer)),
                    ],
                    className="narrow",
                ),
            ],
            className="columns",
        ),
    ]


def _now(sources: Sources, viewer: Viewer) -> Part:
    incidents = sources.listed()
    opened = sorted((i for i in incidents if is_open(i)), key=urgency)
    if not opened:
        return _quiet(sources, incidents, viewer)
    unanswered = sum(1 for i in opened if is_unanswered(i))
    words = f"{count(len(opened), 'open incident')}" + (f", {unanswered} unanswered" if unanswered else "")
    return html.Section(
        [
            html.Div([html.H2(words), dcc.Link("All incidents", href="/incidents")], className="card-head"),
            html.Div([_incident(i, sources, viewer) for i in opened], className="open-incidents"),
        ],
        **{"aria-label": "Open incidents"},
    )


def _incident(incident: Incident, sources: Sources, viewer: Viewer) -> Part:
    tone = "failing" if is_unanswered(incident) else "accent"
    opener = opened_by(incident)
    record = html.Div(sources.record(opener), className="reason") if opener else None
    return html.Article(
        [
            html.Div(
                [
                    html.H3(link(incident)),
                    html.Div(
                        [*state_pills(incident), html.Span(incident.id, className="muted mono")], className="line"
                    ),
                    record,
                ],
                className="open-what",
            ),
            facts(("Cause", cause(incident)), ("Who", owner(incident, viewer, sources.people))),
            facts(
                ("Since", html.Span([moment(incident.onset, viewer), f", {lasted(incident, viewer)}"])),
                ("Services", ", ".join(sorted({incident.service, *(f.service for f in incident.findings)}))),
            ),
            html.Div(
                [
                    command_button("acknowledge", incident, small=True) if is_unanswered(incident) else None,
                    command_button("resolve", incident, small=True) if incident.human_state == "acknowledged" else None,
                ],
                className="open-actions",
            ),
        ],
        className=f"open-incident {tone}",
        tabIndex=0,
        **{"data-row": incident.id},
    )


def _quiet(sources: Sources, incidents: Sequence[Incident], viewer: Viewer) -> Part:
    """`All quiet` is shown only while the watch role judges fresh telemetry."""
    try:
        unwatched = sources.watching()
    except StoreError as error:
        unwatched = f"the store cannot be read: {error.message}"
    if unwatched:
        return html.Section(
            [
                html.Span("?", className="quiet-mark unknown", **{"aria-hidden": "true"}),
                html.Div(
                    [
                        html.H2("No open incident, but no service is judged"),
                        html.P(f"Watchkeeper judges no service at the moment: {unwatched}."),
                        html.P(
                            [
                                "Start it with ",
                                html.Code("watchkeeper up"),
                                ". Run ",
                                html.Code("watchkeeper doctor"),
                                " to see the cause.",
                            ]
                        ),
                    ]
                ),
            ],
            className="quiet unknown",
        )
    ends = [i.resolved_at for i in incidents if i.resolved_at]
    since = max(ends) if ends else None
    return html.Section(
        [
            html.Span("●", className="quiet-mark ok", **{"aria-hidden": "true"}),
            html.Div(
                [
                    html.H2(["All quiet since ", moment(since, viewer)] if since else "All quiet"),
                    html.P(
                        f"No incident for {duration(viewer.now - since)}."
                        if since
                        else "No incident so far. The detectors judge every service below continuously."
                    ),
                ]
            ),
        ],
        className="quiet ok",
        role="status",
    )


def _set_aside(sources: Sources, viewer: Viewer) -> Part:
    """Items that a role set aside so that the others continue: visible here, and they do not page."""
    problems = sources.set_aside()
    if not problems:
        return None
    items = [
        html.Li(
            [
                html.Span([html.Strong(problem.loop), f" set aside {problem.subject}"], className="aside-what"),
                html.Span(problem.reason, className="aside-why"),
                html.Span(
                    [
                        f"{role}, {count(problem.count, 'time')}, last ",
                        moment(utc(problem.last_at), viewer, relative=True),
                    ],
                    className="muted",
                ),
            ]
        )
        for role, problem in problems[:SHOWN]
    ]
    rest = f"{count(len(problems) - SHOWN, 'other')} in the last day. " if len(problems) > SHOWN else ""
    return html.Section(
        [
            html.Div(
                [
                    html.H2(f"Set aside: {count(len(problems), 'item')}"),
                    html.Span([rest, "Details: ", html.Code("watchkeeper doctor")], className="card-aside"),
                ],
                className="card-head",
            ),
            html.Ul(items, className="events aside"),
        ],
        className="card set-aside",
        role="status",
    )


def _services(sources: Sources, view: View, viewer: Viewer) -> Part:
    members = fleet(sources, view)
    if not members:
        return card(
            "Services",
            empty(
                "No service has reported yet",
                html.Span(
                    [
                        "Send telemetry with an OpenTelemetry exporter to ",
                        html.Code(
                            f"http://{bracketed(sources.config.ingest.host)}:{sources.config.ingest.otlp_http_port}"
                        ),
                        " (OTLP over HTTP). A service appears with its first request.",
                    ]
                ),
                html.Span(["To try Watchkeeper on a demo system, run ", html.Code("watchkeeper demo"), "."]),
            ),
        )
    unhealthy = sum(1 for m in members.values() if m.health.state in ("failing", "silent"))
    return card(
        "Services",
        table(
            ["Service", "State", "Requests", "Failed", "p95 latency"],
            [_row(name, member, view, viewer) for name, member in members.items()],
            caption="Every service, worst first",
            kind="services-table",
        ),
        aside=f"{unhealthy} of {len(members)} failing or silent"
        if unhealthy
        else f"all {len(members)} ok"
        if all(m.health.state == "ok" for m in members.values())
        else count(len(members), "service"),
    )


def _row(name: str, member: Member, view: View, viewer: Viewer) -> Part:
    p, series, recent = viewer.palette, member.series, member.recent
    health = member.health
    reason = html.Div(health.reason, className="reason") if health.state != "ok" else None
    suspected = pill(f"suspected cause {likely(health.suspected)}", "failing", "◎") if health.suspected else None
    return html.Tr(
        [
            html.Th([dcc.Link(name, href=view.link("/services", service=name)), suspected, reason], scope="row"),
            html.Td(health_pill(health)),
            html.Td(
                [
                    picture(sparkline(series.rate, p.rate), f"requests to {name}"),
                    html.Span(per_second(recent.per_second), className="number"),
                ],
                className="cell",
            ),
            html.Td(
                [
                    picture(sparkline(series.error_ratio, p.errors, least_top=0.05), f"failed requests to {name}"),
                    html.Span(percent(recent.error_ratio), className="number"),
                ],
                className="cell",
            ),
            html.Td(
                [
                    picture(sparkline(series.p95_ms, p.latency), f"p95 latency of {name}"),
                    html.Span(milliseconds(recent.p95_ms), className="number"),
                ],
                className="cell",
            ),
        ],
        tabIndex=0,
        **{"data-row": name},
    )


def _duty(sources: Sources, viewer: Viewer) -> Part:
    rows = on_duty(sources, viewer.now)
    return card(
        "On call now",
        facts(
            *[
                (
                    duty.schedule,
                    html.Span(
                        [html.Strong(duty.name), " until ", moment(duty.until, viewer, seconds=False)]
                        if duty.until
                        else html.Strong(duty.name)
                    ),
                )
                for duty in rows
            ]
        ),
        aside=dcc.Link("Schedule", href="/oncall"),
    )


def _itself(sources: Sources, viewer: Viewer) -> Part:
    roles = sources.roles()
    down = [r.name for r in roles if not r.running]
    hung = [r.hung for r in roles if r.hung]
    rows: list[tuple[str, Part]] = [
        (
            "Roles",
            html.Span(
                [_role(r) for r in roles],
                className="line",
            ),
        )
    ]
    try:
        newest = sources.newest()
        rows.extend(
            (signal.capitalize(), _freshness(newest.get(signal), viewer)) for signal in ("traces", "metrics", "logs")
        )
    except StoreError as error:
        rows.append(("Store", pill("cannot be read", "failing", "✕")))
        rows.append(("Why", error.message))
    recent = [s for s in sources.suppressed() if viewer.now - s.finding.seen_at < timedelta(days=1)]
    firing = sum(s.cleared_at is None and not s.reopened for s in recent)
    words = f"{count(len(recent), 'finding')} in a day" + (f", {firing} firing" if firing else "")
    rows.append(("Suppressed", dcc.Link(words, href="/learning") if recent else "none in a day"))
    return card(
        "Watchkeeper itself",
        facts(*rows),
        html.P(
            [f"{', '.join(down)} not running here. Start every role with ", html.Code("watchkeeper up"), "."],
            className="note",
        )
        if down
        else None,
        *[html.P(f"{words}. Its supervisor restarts it.", className="note") for words in hung],
        aside=pill(f"{len(down)} down", "failing", "✕")
        if down
        else pill(f"{len(hung)} hung", "failing", "✕")
        if hung
        else "all roles running",
    )


def _role(role: Role) -> Part:
    if not role.running:
        return pill(role.name, "failing", "✕")
    return pill(f"{role.name} hung", "failing", "✕") if role.hung else pill(role.name, "ok", "●")


def _freshness(at: datetime | None, viewer: Viewer) -> Part:
    if at is None:
        return pill("none today", "unknown", "?")
    late = viewer.now - at > STALE_AFTER
    return html.Span(
        ["newest ", moment(at, viewer, relative=True), " ", pill("stale", "degraded", "▲") if late else None]
    )


def _changes(sources: Sources, view: View, viewer: Viewer) -> Part:
    changes = sources.changes(view.window(viewer.now))
    if not changes:
        return card("Changes", html.P(f"No deploy, flag or configuration change in {_span(view)}.", className="muted"))
    return card(
        "Changes",
        html.Ul(
            [
                html.Li([moment(c.at, viewer), html.Span([html.Strong(c.service), f" {c.kind}: {c.title}"])])
                for c in changes[:SHOWN]
            ],
            className="events",
        ),
        aside=f"{len(changes)} in {_span(view)}",
    )


def _recent(sources: Sources, viewer: Viewer) -> Part:
    closed = sorted(
        ((i.resolved_at, i) for i in sources.listed() if i.resolved_at), key=lambda pair: pair[0], reverse=True
    )
    if not closed:
        return None
    items = [
        html.Li(
            [html.Span(ago(at, viewer.now), className="muted"), html.Span([link(i), f", lasted {lasted(i, viewer)}"])]
        )
        for at, i in closed[:SHOWN]
    ]
    return card("Resolved recently", html.Ul(items, className="events"))


def _span(view: View) -> str:
    return f"the last {view.range}" if view.is_live else "this time range"
