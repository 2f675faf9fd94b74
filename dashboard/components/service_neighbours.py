"""Who calls a service, and whom it calls."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dashboard.components.elements import Part, card, facts, pill, table
from dashboard.components.wording import milliseconds, per_second, percent
from dashboard.figures.topology import NOTABLE, Call
from dashboard.reads.sources import Sources
from dashboard.urls import View, lately, service_path
from watchkeeper.vocabulary import Window


def calls_card(sources: Sources, name: str, window: Window, view: View) -> Part:
    """In short: the names with what flows now."""
    calls = sources.traffic.calls(lately(window))

    def names(pairs: list[tuple[str, str]]) -> Part:
        parts: list[Part] = []
        for other, words in pairs:
            parts += [html.Li([dcc.Link(other, href=view.link(service=other)), html.Span(words, className="muted")])]
        return html.Ul(parts, className="events") if parts else html.Span("none", className="muted")

    def words(call: Call) -> str:
        return f"{per_second(call.per_second)}, {percent(call.error_ratio)} failed, {milliseconds(call.mean_ms)}"

    return card(
        "Calls",
        facts(
            ("Called by", names([(c.caller, words(c)) for c in calls if c.callee == name])),
            ("Calls", names([(c.callee, words(c)) for c in calls if c.caller == name])),
        ),
        level=3,
    )


def dependencies(sources: Sources, name: str, window: Window, view: View) -> list[Part]:
    """Both ways as tables, over the whole time range: the calls that fail most come first."""
    calls = sources.traffic.calls(window)
    incoming = [(call.caller, call) for call in calls if call.callee == name]
    outgoing = [(call.callee, call) for call in calls if call.caller == name]
    return [
        _table("Called by", f"{name} is called by", incoming, view, "Nothing that is traced calls it."),
        _table("Calls", f"{name} calls", outgoing, view, "It calls nothing that is known."),
    ]


def _table(title: str, caption: str, pairs: Sequence[tuple[str, Call]], view: View, none: str) -> Part:
    if not pairs:
        return card(title, html.P(none, className="muted"))
    worst_first = sorted(
        pairs, key=lambda pair: (-pair[1].error_ratio * (pair[1].error_ratio > NOTABLE), -pair[1].per_second)
    )
    rows = [
        html.Tr(
            [
                html.Th([_named(other, call, view)], scope="row"),
                html.Td(per_second(call.per_second), className="number"),
                html.Td(percent(call.error_ratio), className="number bad" if call.error_ratio > NOTABLE else "number"),
                html.Td(milliseconds(call.mean_ms), className="number"),
            ]
        )
        for other, call in worst_first
    ]
    heads = ["Service", "Requests", "Failed", "Mean"]
    return card(title, table(heads, rows, caption=caption, numbers=heads[1:]))


def _named(other: str, call: Call, view: View) -> Part:
    """A database or a third party has no page: it reports nothing itself."""
    if not call.instrumented and other == call.callee:
        return html.Span([other, " ", pill("not instrumented", "unknown")])
    return dcc.Link(other, href=view.link(service_path(other), service=None))
