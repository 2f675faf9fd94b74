"""Kinds of log lines: how many, and how that differs from the window before, or from before a deploy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from dash import dcc, html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, moment, pill, table
from dashboard.components.log_search import QUERY, SINCE, TAB, narrowed
from dashboard.components.wording import clock_text, count, listed
from dashboard.page import PageRequest
from dashboard.reads.logs import Template, Templates, search_for
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.store.log_query import All, Term, rank
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import ChangeEvent, Window, utc

SHOWN: Final = 60
DEPLOYS: Final = 6
LONGEST_AFTER: Final = timedelta(hours=6)  # a deploy's lines are looked at for so long
LONGEST_BEFORE: Final = timedelta(hours=1)
SORT: Final = "sort"
SORTS: Final = {"": "most lines", "change": "new and changed first"}
# Change → its words, tone and shape.
CHANGES: Final = {
    "new": ("new", "failing", "✚"),
    "more": ("more", "degraded", "▲"),
    "fewer": ("fewer", "accent", "▼"),
    "gone": ("gone", "silent", "✕"),
    "same": ("as before", "unknown", "●"),
    "unknown": ("not known", "unknown", "?"),
}


def templates_card(query: All, request: PageRequest) -> Part:
    """The templates of a search, with their counts and what has changed."""
    view, viewer, sources = request.view, request.viewer, request.sources
    window = view.window(viewer.now)
    deploys = [
        change
        for change in sources.records.changes(Window.last(86_400.0, until=window.end))
        if change.kind != "restart" and (not view.service or change.service == view.service)
    ][:DEPLOYS]
    chosen = next((change for change in deploys if change.id == view.choice(SINCE)), None)
    before, now = _halves(window, chosen)
    if chosen:
        query = All((Term("service", ":", (chosen.service,)), *query.of))
    found = sources.logs.templates(query, before, now)
    return card(
        "Templates",
        _against(deploys, chosen, view, viewer),
        _sorts(view),
        _body(found, chosen, view, viewer),
        aside=_aside(found, viewer),
    )


def _halves(window: Window, deploy: ChangeEvent | None) -> tuple[Window, Window]:
    """What is compared with what: the time range with as much before it, or after a deploy with before it."""
    if deploy is None or deploy.at >= window.end:
        return Window.last(window.seconds, until=window.start), window
    at = utc(int(deploy.at.timestamp()))
    end = max(min(window.end, at + LONGEST_AFTER), at + timedelta(seconds=5))
    return Window(start=at - max(LONGEST_BEFORE, end - at), end=at), Window(start=at, end=end)


def _against(deploys: Sequence[ChangeEvent], chosen: ChangeEvent | None, view: View, viewer: Viewer) -> Part:
    links = [choice_link("the time before", view.link(**{SINCE: None}), on=chosen is None)]
    for change in deploys:
        at = clock_text(change.at, viewer.zone, viewer.now, seconds=False)
        version = one_line(change.version, 20) if change.version else ""
        words = f"before {change.kind} {version} of {seen_name(change.service, 40)}, {at}"
        links.append(choice_link(" ".join(words.split()), view.link(**{SINCE: change.id}), on=change is chosen))
    return choices(*links, title="Compared with", kind="compared")


def _sorts(view: View) -> Part:
    links = [
        choice_link(
            words,
            view.link(**{SORT: name}),
            on=view.choice(SORT) == name or (not name and view.choice(SORT) not in SORTS),
        )
        for name, words in SORTS.items()
    ]
    return choices(*links, title="Order", kind="compared")


def _aside(found: Templates, viewer: Viewer) -> Part:
    kinds = count(len(found.templates), "template")
    since = clock_text(found.window.start, viewer.zone, viewer.now)
    estimated = f"; estimated from one line in {found.every:,}" if found.every > 1 else ""
    return f"{kinds} in {duration(found.window.seconds)} since {since}{estimated}"


def _body(found: Templates, chosen: ChangeEvent | None, view: View, viewer: Viewer) -> Part:
    if not found.templates:
        return empty("No line in this time range", "Choose a longer time range above, or another search.")
    templates = list(found.templates)
    if view.choice(SORT) == "change":
        order = list(CHANGES)
        templates.sort(key=lambda one: (order.index(one.change), -(rank(one.severity) or 0), -one.now))
    new = [one for one in found.templates if one.change == "new"]
    what = f"the {chosen.kind} of {seen_name(chosen.service)}" if chosen else "this time range began"
    if not found.templates[0].is_comparable:
        notes = ["Nothing can be compared: no such line is stored of the time before."]
    elif new:
        notes = [f"{count(len(new), 'template is', 'templates are')} new since {what}."]
    else:
        notes = [f"None is new since {what}."]
    if len(templates) > SHOWN:
        notes.append(f"The first {SHOWN} of {len(templates):,} are shown.")
    heads = ["Template", "Severity", "Lines", "Expected", "Change", "First seen"]
    return html.Div(
        [
            html.P(" ".join(notes), className="muted lead"),
            table(
                heads,
                [_row(one, view, viewer) for one in templates[:SHOWN]],
                caption="Templates of log lines",
                kind="templates",
                numbers=("Lines", "Expected"),
            ),
        ]
    )


def _row(one: Template, view: View, viewer: Viewer) -> Part:
    words, tone, shape = CHANGES[one.change]
    if one.change in ("more", "fewer"):
        times = max(one.now, one.expected) / max(min(one.now, one.expected), 0.5)
        words = f"{words}, {times:.2g}×" if times < 100 else f"{words}, over 100×"
    services = sorted(one.services)
    named = listed([seen_name(name, 40) for name in services[:3]]) + (
        f" and {len(services) - 3} more" if len(services) > 3 else ""
    )
    severity = {6: "failing", 5: "failing", 4: "degraded"}.get(rank(one.severity) or 0, "unknown")
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(one_line(one.text, 300), href=_lines_of(one, view), className="mono template"),
                    html.Div(named, className="reason"),
                ],
                scope="row",
            ),
            html.Td(pill(one.severity.lower()[:12], severity)),
            html.Td(f"{one.now:,}", className="number"),
            html.Td(_expected(one.expected) if one.is_comparable else "–", className="number"),
            html.Td(pill(words, tone, shape)),
            html.Td(moment(one.first, viewer) if one.first else "–"),
        ],
        tabIndex=0,
        **{"data-row": ""},
    )


def _expected(lines: float) -> str:
    return "0" if not lines else f"{lines:,.0f}" if lines >= 10 else f"{lines:.1f}"


def _lines_of(one: Template, view: View) -> str:
    """The search for a template's lines; within its service where it is one's."""
    text = f"{view.choice(QUERY)} {search_for(one.text)}".strip()
    if len(one.services) == 1 and not view.service:
        return narrowed(
            View(path=view.path, range=view.range, start=view.start, end=view.end, choices={QUERY: text}),
            "service",
            *one.services,
        )
    return view.link(**{QUERY: text, TAB: None, SINCE: None, SORT: None})
