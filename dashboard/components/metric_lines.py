"""The plot of the page Metrics, the table of its lines, and the way from a point to the requests of its minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from dash import dcc, html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, folded, moment, note, plot, table
from dashboard.components.wording import count, listed, measured
from dashboard.figures.marks import Moment
from dashboard.figures.metrics import DASHES, Drawn, metric_figure
from dashboard.page import PageRequest
from dashboard.reads.metric_choices import LETTERS, Asked
from dashboard.reads.metrics import Band, Lines
from dashboard.reads.series import Floats
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.store.metric_queries import MOST_GROUPS, SERVICE, matched
from watchkeeper.vocabulary import Window

LONGEST_DATA = 60  # rows of the table of values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A query and what the store gave for it; `band` only for the first query, if it was asked for."""

    asked: Asked
    lines: Lines
    band: Band | None = None


def lines_card(answers: Sequence[Answer], request: PageRequest, marks: Sequence[Moment], notes: Sequence[str]) -> Part:
    """All queries on one plot, a second plot for a third and fourth unit, and a row for each line."""
    view, viewer = request.view, request.viewer
    window = view.window(viewer.now)
    drawn = drawn_lines(answers, viewer)
    if not drawn:
        body: Part = empty(
            "No point in this time range",
            "Choose a longer time range above, or take a condition out of Where.",
        )
        return card("Plot", _band_choice(view), body)
    units = list(dict.fromkeys(one.unit for one in drawn))
    chosen = _chosen(view)
    plots = []
    for number in range(0, len(units), 2):
        part = [one for one in drawn if one.unit in units[number : number + 2]]
        band = answers[0].band if number == 0 else None
        figure = metric_figure(part, viewer, window, moments=marks, band=band, chosen=chosen)
        plots.append(
            plot(f"metric-{number}", figure, plot_sentence(part, answers[0] if band else None), reads=("lines", "band"))
        )
    step = max(answer.lines.step_s for answer in answers)
    aside = f"a point each {step} s" if step < 120 else f"a point each {step // 60} min"
    return card(
        "Plot",
        _band_choice(view),
        *(note(text) for text in (*notes, *_cut(answers))),
        html.Div(_usual(answers), className="hint") if view.choice("band") else None,
        *plots,
        html.P("Press a point in the plot for the traces and logs of its minute.", className="hint"),
        chosen_minute(view, viewer, answers) if chosen else None,
        _table(drawn),
        _data(drawn, view, viewer, window),
        aside=aside,
    )


def chosen_minute(view: View, viewer: Viewer, answers: Sequence[Answer]) -> Part:
    """Links to the traces and logs of the minute around the chosen point, for each service that the query names."""
    at = _chosen(view)
    if at is None:
        return None
    start = at.replace(second=0)
    minute = view.between(start, start + timedelta(minutes=1))
    services = _services(view, answers)
    links = []
    for service in services or (None,):
        name = service or "all services"
        links.append(
            html.Li(
                [
                    html.Strong(name),
                    dcc.Link("Traces", href=minute.link("/traces", service=service)),
                    dcc.Link("Logs", href=minute.link("/logs", service=service)),
                    dcc.Link("This metric, closer", href=_closer(view, start)),
                ],
                className="line",
            )
        )
    return html.Section(
        [
            html.Div(
                [
                    html.H3(["The minute of ", moment(start, viewer, seconds=False)]),
                    dcc.Link("Close", href=view.link(at=None)),
                ],
                className="line",
            ),
            html.Ul(links, className="minute-links"),
        ],
        className="chosen-minute",
        id="chosen-minute",
        **{"aria-label": "The chosen minute"},
    )


def _closer(view: View, start: datetime) -> str:
    return view.between(start - timedelta(minutes=7), start + timedelta(minutes=8)).link()


def _services(view: View, answers: Sequence[Answer]) -> tuple[str, ...]:
    """The services that are named by the page's own choice, by a condition, or by the groups on show."""
    if view.service:
        return (view.service,)
    names: dict[str, None] = {}
    for answer in answers:
        for match in answer.asked.where:
            if match.label == SERVICE and match.operator == "=" and "*" not in match.value:
                names[match.value] = None
        if SERVICE in answer.asked.by:
            place = answer.asked.by.index(SERVICE)
            names |= {line.labels[place]: None for line in answer.lines.lines}
    return tuple(names)[:6]


def _chosen(view: View) -> datetime | None:
    text = view.choice("at")
    return datetime.fromtimestamp(int(text), UTC) if text.isascii() and text.isdecimal() and len(text) < 11 else None


def drawn_lines(answers: Sequence[Answer], viewer: Viewer) -> list[Drawn]:
    colours = viewer.palette.people
    drawn: list[Drawn] = []
    several = len(answers) > 1
    for answer in answers:
        for line in answer.lines.lines:
            name = matched(answer.asked.by, line.labels) or answer.asked.words
            drawn.append(
                Drawn(
                    name=f"{answer.asked.letter} {name}" if several else name,
                    unit=answer.asked.unit,
                    line=line,
                    colour=colours[len(drawn) % len(colours)],
                    # Neither the letter of a query nor a colour that comes again is told by colour alone.
                    dash=DASHES[(LETTERS.index(answer.asked.letter) + len(drawn) // len(colours)) % len(DASHES)],
                )
            )
    return drawn


def plot_sentence(drawn: Sequence[Drawn], banded: Answer | None) -> str:
    parts = [f"{one.name}: now {measured(last_value(one.line.values), one.unit)}" for one in drawn[:4]]
    more = f" and {len(drawn) - 4} more lines" if len(drawn) > 4 else ""
    return f"{listed(parts)}{more}. " + (_usual([banded]) if banded else "")


def _usual(answers: Sequence[Answer]) -> str:
    """What the band says, or why there is none."""
    answer = answers[0]
    if len(answer.lines.lines) != 1:
        return (
            "The usual range is shown for a query with one line: take Group by out of query A, or filter to one group."
        )
    if answer.band is None:
        return "There is no usual range: fewer than three earlier days of this metric are stored."
    line, band = answer.lines.lines[0], answer.band
    low, high = (np.interp(line.times, band.times, edge) for edge in (band.low, band.high))
    outside = int(np.sum((line.values < low) | (line.values > high)))
    return (
        f"The filled range is where this line lay within half an hour of the same time on {band.days} earlier days "
        f"(median, three robust standard deviations). {outside} of {count(len(line.values), 'point')} lie outside."
    )


def _band_choice(view: View) -> Part:
    on = view.choice("band") == "on"
    title = "Where query A lay at this time on earlier days"
    return choices(choice_link("Usual range", view.link(band=None if on else "on"), on=on, title=title))


def _cut(answers: Sequence[Answer]) -> list[str]:
    return [
        f"Query {answer.asked.letter} has {count(answer.lines.groups, 'group')}; the {MOST_GROUPS} highest are shown. "
        "Add a condition to see others."
        for answer in answers
        if answer.lines.groups > MOST_GROUPS
    ]


def _table(drawn: Sequence[Drawn]) -> Part:
    rows = []
    for one in drawn:
        values = one.line.values[np.isfinite(one.line.values)]
        stats: Mapping[str, float] = (
            {"last": values[-1], "min": values.min(), "mean": values.mean(), "max": values.max()} if values.size else {}
        )
        rows.append(
            html.Tr(
                [
                    html.Th([swatch(one), one.name], scope="row", className="line-name"),
                    *(
                        html.Td(measured(stats.get(name), one.unit), className="number")
                        for name in ("last", "min", "mean", "max")
                    ),
                ]
            )
        )
    heads = ["Line", "Last", "Min", "Mean", "Max"]
    return table(heads, rows, caption="Lines of the plot", numbers=heads[1:])


def swatch(one: Drawn) -> Part:
    style = {"solid": "solid", "dash": "dashed", "dot": "dotted", "dashdot": "double"}[one.dash]
    return html.Span(
        className="line-swatch", style={"borderTop": f"3px {style} {one.colour}"}, **{"aria-hidden": "true"}
    )


def _data(drawn: Sequence[Drawn], view: View, viewer: Viewer, window: Window) -> Part:
    """The newest values of the first line as a table: each leads to its minute, without a mouse."""
    one = drawn[0]
    pairs = list(zip(one.line.times.tolist(), one.line.values.tolist(), strict=True))[-LONGEST_DATA:][::-1]
    rows = [
        html.Tr(
            [
                html.Th(moment(datetime.fromtimestamp(at, UTC), viewer), scope="row"),
                html.Td(measured(value, one.unit), className="number"),
                html.Td(dcc.Link("Minute", href=view.link(at=str(int(at))))),
            ]
        )
        for at, value in pairs
        if window.start.timestamp() <= at
    ]
    return folded(
        f"Values of {one.name}",
        table(["Time", "Value", "Open"], rows, caption=f"The newest values of {one.name}", numbers=["Value"]),
    )


def last_value(values: Floats) -> float | None:
    return float(values[-1]) if values.size else None
