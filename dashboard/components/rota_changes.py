"""What an edit of the rota would change, or what somebody else has changed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dash import dcc, html

from alerting.oncall.object_text import dotted, within
from alerting.oncall.ownership import Kind, objects
from alerting.oncall.preview import Moved, changed_objects, lines_of, moved, new_warnings
from alerting.oncall.schedule import Override, final_schedule
from dashboard.components.elements import Part, moment, table
from dashboard.components.wording import count
from dashboard.figures.frame import CONFIG
from dashboard.figures.handoffs import Shift, handoff_figure
from dashboard.reads.oncall import HORIZON
from dashboard.viewer import Viewer
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, KeysError, WatchkeeperError
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

LISTED: Final = 12
LINES: Final = 60


def changes(
    kind: Kind, name: str, before: OnCallConfig, after: OnCallConfig, overrides: Sequence[Override], viewer: Viewer
) -> Part:
    """The next two weeks, and the lines of the object that would be others."""
    lines = lines_of(kind, objects(before, kind).get(name), objects(after, kind).get(name))
    if not lines:
        return html.P("Nothing changes.", className="muted")
    window = Window(start=viewer.now, end=viewer.now + HORIZON)
    spans = moved(before, after, window, overrides)
    return [
        html.H3("What changes"),
        *_spans(spans, after, viewer),
        _calendar(name, after, overrides, window, viewer) if kind == "schedules" and _has(after, name) else None,
        *(html.Div(text, className="note") for text in new_warnings(before, after, window, overrides)[:LISTED]),
        html.Details([html.Summary(f"{count(len(lines), 'line')} of its YAML"), _diff(lines)]),
    ]


def meanwhile(before: OnCallConfig, after: OnCallConfig, by: str) -> Part:
    """What somebody else changed since the dialog was opened."""
    differing = changed_objects(before, after)[:LISTED]
    rows = [part for what, lines in differing for part in (html.H3(seen_name(what)), _diff(lines))]
    if not rows:
        rows = [html.P("Only owners differ: the people, schedules, policies and teams themselves are as you saw them.")]
    return html.Div(
        [
            html.P(f"{by} changed the rota meanwhile. Nothing of yours was saved.", className="empty-title"),
            *rows,
            html.P("Your text is still here. Save again to put it into the rota as it is now."),
        ],
        className="empty trouble",
        role="alert",
    )


def refusal(error: WatchkeeperError, oncall: OnCallConfig, kind: Kind, name: str) -> Part:
    """Why an edit cannot be saved, a line for each mistake."""
    lines = error.message.splitlines() if isinstance(error, ConfigError) else [error.message]
    if isinstance(error, KeysError):
        lines = []
        for key, what in error.mistakes:
            inside = within(oncall, kind, name, key)
            field = dotted(key if inside is None else inside).replace("_", " ")
            lines.append(f"{field}: {what}" if field else what)
    return html.Div(
        [html.P("This cannot be saved yet", className="empty-title"), *(html.P(line) for line in lines[:LISTED])],
        className="empty trouble",
        role="status",
    )


def _has(oncall: OnCallConfig, schedule: str) -> bool:
    return any(each.id == schedule for each in oncall.schedules)


def _spans(spans: Sequence[Moved], after: OnCallConfig, viewer: Viewer) -> list[Part]:
    if not spans:
        return [html.P("In the next two weeks the same people are on call.")]
    names: dict[str | None, str] = {None: "nobody", **{person.id: person.name for person in after.people}}
    rows = [
        html.Tr(
            [
                html.Th(seen_name(span.schedule), scope="row"),
                html.Td(moment(span.start, viewer, seconds=False)),
                html.Td(moment(span.end, viewer, seconds=False)),
                html.Td(seen_name(names.get(span.before, span.before or ""))),
                html.Td(html.Strong(seen_name(names.get(span.after, span.after or "")))),
            ]
        )
        for span in spans[:LISTED]
    ]
    more = len(spans) - LISTED
    heads = ["Schedule", "From", "To", "Now", "Then"]
    return [
        table(heads, rows, caption="Who would be on call instead, in the next two weeks"),
        html.P(f"and {count(more, 'more shift')}", className="muted") if more > 0 else None,
    ]


def _calendar(name: str, after: OnCallConfig, overrides: Sequence[Override], window: Window, viewer: Viewer) -> Part:
    bars = [
        Shift(
            schedule=name,
            person=shift.person.name if shift.person else None,
            start=shift.start,
            end=shift.end,
            source=shift.source,
        )
        for shift in final_schedule(after, name, window, overrides)
    ]
    figure: dict[str, Any] = handoff_figure(bars, viewer, window.start, window.end)
    figure["layout"]["dragmode"] = False
    graph = dcc.Graph(figure=figure, config=CONFIG, style={"height": f"{figure['layout']['height']}px"})
    return html.Div(graph, role="img", **{"aria-label": f"The next two weeks of {seen_name(name)} as they would be"})


def _diff(lines: Sequence[str]) -> Part:
    return html.Pre("\n".join(lines[:LINES]), className="rota-diff", tabIndex=0)
