"""Watchkeeper's own state: its roles, the age of telemetry, and what the roles set aside."""

from __future__ import annotations

from datetime import datetime, timedelta

from dash import dcc, html

from dashboard.components.elements import Part, card, facts, moment, pill
from dashboard.components.wording import count
from dashboard.reads.own_state import STALE_AFTER, Role
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problem
from watchkeeper.vocabulary import utc

SHOWN = 5
SIGNALS = ("traces", "metrics", "logs")


def own_state(sources: Sources, viewer: Viewer) -> Part:
    """Roles, the newest telemetry, and the findings that were suppressed today."""
    roles = sources.itself.roles()
    down = [role.name for role in roles if not role.running]
    hung = [role.hung for role in roles if role.hung]
    start = html.Code("watchkeeper up")
    missing = html.P([f"{', '.join(down)} not running here. Start every role with ", start, "."], className="note")
    return card(
        "Watchkeeper itself",
        facts(
            ("Roles", html.Span([_role(role) for role in roles], className="line")),
            *_telemetry(sources, viewer),
            ("Suppressed", _suppressed(sources, viewer)),
        ),
        missing if down else None,
        *[html.P(f"{reason}. Its supervisor restarts it.", className="note") for reason in hung],
        aside=_summary(len(down), len(hung)),
    )


def _summary(down: int, hung: int) -> Part:
    if down:
        return pill(f"{down} down", "failing", "✕")
    return pill(f"{hung} hung", "failing", "✕") if hung else "all roles running"


def _telemetry(sources: Sources, viewer: Viewer) -> list[tuple[str, Part]]:
    try:
        newest = sources.traffic.newest()
    except StoreError as error:
        return [("Store", pill("cannot be read", "failing", "✕")), ("Why", error.message)]
    return [(signal.capitalize(), _freshness(newest.get(signal), viewer)) for signal in SIGNALS]


def _suppressed(sources: Sources, viewer: Viewer) -> Part:
    recent = [s for s in sources.records.suppressed() if viewer.now - s.finding.seen_at < timedelta(days=1)]
    if not recent:
        return "none in a day"
    firing = sum(s.cleared_at is None and not s.reopened for s in recent)
    words = f"{count(len(recent), 'finding')} in a day" + (f", {firing} firing" if firing else "")
    return dcc.Link(words, href="/learning")


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


def set_aside(sources: Sources, viewer: Viewer) -> Part:
    """Items that a role set aside so that the others continue: visible here, and they do not page."""
    problems = sources.itself.problems()
    if not problems:
        return None
    rest = f"{count(len(problems) - SHOWN, 'other')} in the last day. " if len(problems) > SHOWN else ""
    head = [
        html.H2(f"Set aside: {count(len(problems), 'item')}"),
        html.Span([rest, "Details: ", html.Code("watchkeeper doctor")], className="card-aside"),
    ]
    items = [_problem(role, problem, viewer) for role, problem in problems[:SHOWN]]
    return html.Section(
        [html.Div(head, className="card-head"), html.Ul(items, className="events aside")],
        className="card set-aside",
        role="status",
    )


def _problem(role: str, problem: Problem, viewer: Viewer) -> Part:
    last = moment(utc(problem.last_at), viewer, relative=True)
    return html.Li(
        [
            html.Span([html.Strong(problem.loop), f" set aside {problem.subject}"], className="aside-what"),
            html.Span(problem.reason, className="aside-why"),
            html.Span([f"{role}, {count(problem.count, 'time')}, last ", last], className="muted"),
        ]
    )
