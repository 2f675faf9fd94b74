"""Who is on call now, who follows, where the gaps are, and the escalation chain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import dash_mantine_components as dmc
from dash import html

from alerting.oncall.chain import Chain, default_chain, policy_chain, whom
from alerting.oncall.schedule import Override, Shift
from alerting.oncall.swaps import Swap
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, moment, pill, plot, table
from dashboard.components.rota_in_force import rota_card
from dashboard.components.rota_objects import objects_card
from dashboard.components.silences import silences_card
from dashboard.components.wording import ago, count, zone_named
from dashboard.figures.handoffs import Shift as Bar
from dashboard.figures.handoffs import handoff_figure
from dashboard.page import Page, PageRequest
from dashboard.reads.oncall import HORIZON, Duty, on_duty, shifts
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.config import ScheduleConfig
from watchkeeper.durations import duration
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

BACK = timedelta(days=1)
OPEN = 500  # incidents that are searched for what a silence hides
MOST_STEPS = 12  # of one escalation that repeats


def render(request: PageRequest) -> Part:
    """Who is on call now, who follows, where the gaps are, and the escalation chain."""
    sources, viewer = request.sources, request.viewer
    now = viewer.now
    window = Window(start=now - BACK, end=now + HORIZON)
    return [
        html.H1("On call"),
        attempt(
            "Who is on call",
            lambda: html.Div([_now(d, sources, viewer) for d in on_duty(sources, now)], className="duties"),
        ),
        attempt("The schedule", lambda: _plan(sources, window, viewer)),
        html.Div(
            [
                html.Div(
                    [
                        attempt("The handoffs", lambda: _handoffs(sources, window, viewer)),
                        attempt("The overrides", lambda: _overrides(sources.records.overrides(), sources, viewer)),
                        attempt("The swaps", lambda: _swaps(sources.records.swaps(), sources, viewer)),
                        attempt("The silences", lambda: _silences(sources, viewer)),
                        attempt(
                            "The objects of the rota",
                            lambda: objects_card(sources.config.oncall, (sources.records.rotas() or (None,))[-1]),
                        ),
                    ],
                    className="wide",
                ),
                html.Div(
                    [
                        attempt("The escalation", lambda: _chain(sources, now)),
                        attempt("The gaps", lambda: _gaps(sources, window, viewer)),
                        attempt("The rota", lambda: rota_card((sources.records.rotas() or (None,))[-1], viewer)),
                    ],
                    className="narrow",
                ),
            ],
            className="columns",
        ),
    ]


def _now(duty: Duty, sources: Sources, viewer: Viewer) -> Part:
    config = next(s for s in sources.config.oncall.schedules if s.id == duty.schedule)
    tone = "failing" if duty.source == "gap" else "degraded" if duty.source == "fallback" else "ok"
    person = next((p for p in sources.config.oncall.people if p.name == duty.name), None)
    there = viewer.now.astimezone(zone_named(person.timezone)) if person else None
    return html.Article(
        [
            html.Span(config.id, className="muted"),
            html.Span(duty.name, className="duty-name"),
            html.Span(
                [
                    pill(duty.source, tone),
                    " ",
                    html.Span(["until ", moment(duty.until, viewer, seconds=False), f", {ago(duty.until, viewer.now)}"])
                    if duty.until
                    else "for the next two weeks at least",
                ]
            ),
            html.Span(f"It is {there:%H:%M} there ({person.timezone})", className="muted")
            if person and there
            else None,
        ],
        className=f"duty {tone}",
    )


def _plan(sources: Sources, window: Window, viewer: Viewer) -> Part:
    bars = [
        Bar(
            schedule=schedule.id,
            person=(shift.person.name if shift.person else None),
            start=shift.start,
            end=shift.end,
            source=shift.source,
        )
        for schedule in sources.config.oncall.schedules
        for shift in shifts(sources, schedule.id, window, viewer.now)
    ]
    words = "; ".join(f"{b.schedule}: {b.person or 'nobody'} from {b.start:%d %b %H:%M} UTC" for b in bars[:20])
    return card(
        "The next two weeks",
        plot("handoffs", handoff_figure(bars, viewer, window.start, window.end), words, reads=("rotas", "overrides")),
        html.Div(
            [
                _override("", None, "Override a schedule from now on"),
                html.Span("or drag over the hours of a schedule's row", className="muted")
                if not viewer.narrow
                else None,
            ],
            className="actions",
        )
        if bars
        else None,
        aside=f"times in {viewer.zone_label}",
    )


def _handoffs(sources: Sources, window: Window, viewer: Viewer) -> Part:
    coming: list[tuple[datetime, ScheduleConfig, Shift, Shift]] = []
    for schedule in sources.config.oncall.schedules:
        line = shifts(sources, schedule.id, window, viewer.now)
        coming += [(b.start, schedule, a, b) for a, b in pairwise(line) if b.start > viewer.now]
    coming.sort(key=lambda each: each[0])
    if not coming:
        return card(
            "Next handoffs", html.P("None in the next two weeks. The same people stay on call.", className="muted")
        )
    rows = [
        html.Tr(
            [
                html.Th(moment(at, viewer, seconds=False), scope="row"),
                html.Td(ago(at, viewer.now), className="nowrap"),
                html.Td(schedule.id),
                html.Td(_holder(before)),
                html.Td(html.Strong(_holder(after))),
                html.Td(_there(at, schedule)),
                html.Td(_override(schedule.id, at, f"Override {schedule.id} from {viewer.local(at)[:16]}")),
            ]
        )
        for at, schedule, before, after in coming[:12]
    ]
    heads = ["When", "", "Schedule", "From", "To", "There", "Change"]
    return card("Next handoffs", table(heads, rows, caption="Handoffs, soonest first"))


def _there(at: datetime, schedule: ScheduleConfig) -> str:
    return f"{at.astimezone(zone_named(schedule.timezone)):%a %H:%M} {schedule.timezone}"


def _override(schedule: str, at: datetime | None, label: str) -> Part:
    """The button that opens the form of an override, for the turn that begins then or, without one, from now on."""
    name = {"override_open": schedule, "at": at.isoformat() if at else ""}
    label = seen_name(label)
    return dmc.Button("Override", id=name, n_clicks=0, size="compact-sm", variant="default", **{"aria-label": label})


def _holder(shift: Shift) -> str:
    return shift.person.name if shift.person else "nobody"


def _chain(sources: Sources, now: datetime) -> Part:
    oncall, overrides = sources.config.oncall, sources.records.overrides()
    chains = [default_chain(oncall), *map(policy_chain, oncall.policies)]
    return card(
        "Who is paged now",
        *(part for chain in chains for part in _steps(sources, chain, now, overrides)),
        html.P("An acknowledgement stops the escalation.", className="muted"),
    )


def _steps(sources: Sources, chain: Chain, now: datetime, overrides: Sequence[Override]) -> Sequence[Part]:
    """One escalation: whom each step pages now."""
    steps = []
    for step in chain.steps[:MOST_STEPS]:
        called = whom(sources.config.oncall, step, now, overrides)
        when = "immediately" if step.after_s == 0 else f"after {duration(step.after_s)} without acknowledgement"
        by = ", ".join(name for name in step.notify if name not in {each.id for each in called})
        steps.append(
            html.Li(
                [
                    html.Strong(", ".join(each.person.name if each.person else "nobody" for each in called)),
                    html.Span(f" by {by}" if by else "", className="muted"),
                    html.Div(when, className="muted"),
                ]
            )
        )
    more = len(chain.steps) - MOST_STEPS
    return [
        html.H3(f"Policy {chain.policy}") if chain.policy else None,
        html.Ol(steps, className="chain"),
        html.P(f"and {count(more, 'more step')}", className="muted") if more > 0 else None,
    ]


def _gaps(sources: Sources, window: Window, viewer: Viewer) -> Part:
    items = []
    for schedule in sources.config.oncall.schedules:
        for shift in shifts(sources, schedule.id, window, viewer.now):
            if shift.source not in ("gap", "fallback") or shift.end <= viewer.now:
                continue
            who = f"{shift.person.name} as fallback" if shift.person else "nobody"
            items.append(
                html.Li(
                    [
                        pill(
                            "gap" if shift.person is None else "fallback",
                            "failing" if shift.person is None else "degraded",
                            "▲",
                        ),
                        html.Span(
                            [
                                f"{schedule.id}, ",
                                moment(shift.start, viewer, seconds=False),
                                " to ",
                                moment(shift.end, viewer, seconds=False),
                                f": {who}",
                            ]
                        ),
                    ]
                )
            )
    if not items:
        return card(
            "Gaps",
            html.P("None. A rotation covers every moment of the next two weeks.", className="muted"),
        )
    return card(
        "Gaps",
        html.Ul(items[:8], className="events"),
        html.P(
            "A page in a gap goes to the fallback, else to the first person in the configuration.",
            className="muted",
        ),
        aside=count(len(items), "gap"),
    )


def _overrides(overrides: Sequence[Override], sources: Sources, viewer: Viewer) -> Part:
    coming = [o for o in overrides if o.end > viewer.now]
    if not coming:
        return card(
            "Overrides",
            empty(
                "No current or future override",
                "An override replaces every rotation for its time. It does not change the past.",
            ),
        )
    rows = [
        html.Tr(
            [
                html.Th(o.schedule, scope="row"),
                html.Td(html.Strong(sources.people.get(o.person, o.person))),
                html.Td(moment(o.start, viewer, seconds=False)),
                html.Td(moment(o.end, viewer, seconds=False)),
                html.Td(o.author or "–"),
            ]
        )
        for o in coming
    ]
    return card(
        "Overrides", table(["Schedule", "Person", "From", "To", "By"], rows, caption="Current and future overrides")
    )


def _swaps(asked: Sequence[Swap], sources: Sources, viewer: Viewer) -> Part:
    """Shifts that somebody was asked to take and has not answered."""
    waiting = [swap for swap in asked if swap.window.end > viewer.now]
    if not waiting:
        return None
    rows = [
        html.Tr(
            [
                html.Th(swap.schedule, scope="row"),
                html.Td(html.Strong(sources.people.get(swap.taker, swap.taker))),
                html.Td(sources.people.get(swap.asker, swap.asker)),
                html.Td(moment(swap.window.start, viewer, seconds=False)),
                html.Td(moment(swap.window.end, viewer, seconds=False)),
                html.Td(html.Code(f"watchkeeper oncall swap accept {swap.id}")),
            ]
        )
        for swap in waiting
    ]
    heads = ["Schedule", "Asked", "For", "From", "To", "Answer"]
    return card("Swaps", table(heads, rows, caption="Shifts that somebody is asked to take"))


def _silences(sources: Sources, viewer: Viewer) -> Part:
    silences = sources.records.silences(viewer.now)
    # What a silence hides is looked for where there is one: so many incidents are long to read.
    return silences_card(silences, sources.records.open(OPEN) if silences else (), viewer)


PAGE = Page(path="/oncall", title="On call", render=render, order=40, section="Respond", key="c")
