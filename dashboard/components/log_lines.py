"""Log lines as a list, one of them open, and the lines around one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Final

from dash import dcc, html

from dashboard.components.elements import Part, facts, pill
from dashboard.components.log_search import LINE, NUMBER, TAB, narrowed
from dashboard.components.wording import clock_text, utc_text
from dashboard.page import PageRequest
from dashboard.reads.logs import Line
from dashboard.urls import View, trace_path
from dashboard.viewer import Viewer
from watchkeeper.text import is_unseen, seen_name

LONGEST_LINE: Final = 400  # characters of a message that is not open
LONGEST_OPEN: Final = 16_000
LONGEST_VALUE: Final = 2_000
AROUND: Final = "around"
# Rank of a severity → its tone and shape.
TONES: Final = {6: ("failing", "✕"), 5: ("failing", "✕"), 4: ("degraded", "▲")}
_SEARCHABLE: Final = re.compile(r"[A-Za-z_@](?:[\w.@/-]*\w)?")


def line_list(lines: Sequence[Line], request: PageRequest, *, marked: str = "", with_service: bool = True) -> Part:
    """Lines in the order given. The one that the address names is open; `marked` is the one that they are around."""
    opened = request.view.choice(LINE)
    items = []
    for line in lines:
        is_open = line.name == opened
        state = " on" if is_open else ""
        items.append(
            html.Li(
                [
                    dcc.Link(
                        _parts(line, request.viewer, with_service=with_service),
                        href=_opening(line, request, is_open=is_open),
                        className="log-link",
                    ),
                    _details(line, request) if is_open else None,
                ],
                className=f"log-line{state}{' here' if line.name == marked else ''}",
                tabIndex=0,
                **{"data-row": ""},
            )
        )
    return html.Ol(items, className="log-lines" if with_service else "log-lines same-service")


def _parts(line: Line, viewer: Viewer, *, with_service: bool) -> list[Part]:
    tone, shape = TONES.get(line.rank, ("unknown", ""))
    body = line.body[:LONGEST_LINE] + ("…" if len(line.body) > LONGEST_LINE else "")
    return [
        _time(line, viewer),
        pill(line.severity.lower()[:12], tone, shape),
        html.Span(seen_name(line.service), className="log-service") if with_service else None,
        html.Span(" ".join(body.split()) or "(blank)", className="log-body mono"),
    ]


def _time(line: Line, viewer: Viewer) -> Part:
    """Milliseconds in the list; all that is known on hover."""
    millis = line.at_ns // 1_000_000 % 1000
    utc_words = utc_text(line.at).removesuffix(" UTC") + f".{line.at_ns % 1_000_000_000:09d} UTC"
    return html.Time(
        f"{clock_text(line.at, viewer.zone, viewer.now)}.{millis:03d}",
        dateTime=line.at.astimezone(UTC).isoformat(),
        title=utc_words,
    )


def _opening(line: Line, request: PageRequest, *, is_open: bool) -> str:
    """The address with the line open, or closed again. Opening fixes the time range, so that the list stands still."""
    view = request.view
    if is_open:
        return view.link(**{LINE: None})
    return still(view, request).link(**{LINE: line.name})


def still(view: View, request: PageRequest) -> View:
    """The same view of a fixed time range."""
    window = view.window(request.viewer.now)
    return view.between(window.start, window.end)


def _details(line: Line, request: PageRequest) -> Part:
    view = request.view
    links = [
        dcc.Link("Lines around it", href=view.link(**{TAB: AROUND, LINE: line.name, NUMBER: None})),
        dcc.Link("Only this service", href=narrowed(view, "service", line.service)),
        dcc.Link("Service", href=view.link("/services", service=line.service)),
    ]
    if line.trace_id:
        links[1:1] = [
            dcc.Link("Its trace", href=trace_path(line.trace_id)),
            dcc.Link("Lines of its trace", href=narrowed(view, "trace", line.trace_id)),
        ]
    own = [
        (name, value)
        for name, value in (("scope", line.scope), ("event", line.event), ("instance", line.instance))
        if value
    ]
    return html.Div(
        [
            html.Pre(_seen(line.body), className="log-text"),
            html.Div(links, className="line log-links"),
            _attributes("Attributes", line.attributes, view),
            _attributes("Resource", line.resource, view),
            facts(*[(name, _value(name, value, view)) for name, value in own]) if own else None,
        ],
        className="log-open",
    )


def _seen(body: str) -> str:
    """A whole message, on its own lines; what is too long says so."""
    plain = "".join(c for c in body[:LONGEST_OPEN] if c in "\n\t" or not is_unseen(c))
    return plain + (f"\n… and {len(body) - LONGEST_OPEN:,} characters more" if len(body) > LONGEST_OPEN else "")


def _attributes(title: str, attributes: Mapping[str, str], view: View) -> Part:
    if not attributes:
        return None
    return html.Div(
        [
            html.H4(title),
            facts(*[(seen_name(name), _value(name, value, view)) for name, value in attributes.items()]),
        ],
        className="log-attributes",
    )


def _value(name: str, value: str, view: View) -> Part:
    """A value with links that search for it or leave it out; a name that the language cannot write has none."""
    shown = html.Span(value[:LONGEST_VALUE], className="mono")
    if not _SEARCHABLE.fullmatch(name) or not value or len(value) > 200:
        return shown
    named = seen_name(name)
    return html.Span(
        [
            shown,
            " ",
            dcc.Link("only", href=narrowed(view, name, value), title=f"Only lines with this {named}"),
            " ",
            dcc.Link("without", href=narrowed(view, name, value, negate=True), title=f"No lines with this {named}"),
        ],
        className="log-value",
    )
