"""What one group of spans has in common that the other has not, as a table whose rows narrow the search."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, table
from dashboard.components.wording import count, milliseconds, percent
from dashboard.page import PageRequest
from dashboard.reads.differences import Difference, differences
from dashboard.reads.trace_query import TraceQuery, condition_text
from dashboard.urls import View
from watchkeeper.durations import duration
from watchkeeper.store.span_comparison import MOST_SAMPLED, Group, SpanComparison, Split

MOST_SHOWN = 20
WORDS: dict[Split, tuple[str, str, str]] = {
    "slow": ("slow ones", "slow", "the others"),
    "failed": ("failed ones", "failed", "the others"),
    "before": ("the time before", "now", "before"),
}


def comparison_choices(query: TraceQuery, view: View) -> Part:
    """Links that compare, or end it."""
    links = []
    for split, (words, _, _) in WORDS.items():
        is_on = query.comparison == split
        href = view.link(compare=None if is_on else split)
        text = f"with {words}" if split == "before" else f"the {words} with the others"
        links.append(choice_link(text, href, on=is_on))
    return choices(*links, title="Compare", kind="compare")


def comparison_card(query: TraceQuery, request: PageRequest) -> Part:
    """The two groups in a sentence, then the values that differ by more than chance."""
    split = query.comparison
    if split is None:
        return None
    window = request.view.window(request.viewer.now)
    result = request.sources.trace_search.comparison(window, query.search, split)
    title = "What changed" if split == "before" else f"What the {WORDS[split][0]} have in common"
    _, selected, others = WORDS[split]
    rest = f"the {duration(round(result.window.seconds))} before" if split == "before" else others
    sentence = html.P([_group(selected, result.selected), " ", _group(rest, result.others)])
    found = differences(result)
    part = None
    if result.window != window:
        words = (
            f"Compared is the end of the time range, {duration(round(result.window.seconds))}: it holds too many spans."
        )
        part = html.P([words, " Search for a service to compare all of it."], className="muted")
    return card(
        title, _bound(split, result), part, sentence, _body(split, found, result, request.view), aside=_sample(result)
    )


def _body(split: Split, found: Sequence[Difference], result: SpanComparison, view: View) -> Part:
    _, selected, others = WORDS[split]
    if not result.selected.spans or not result.others.spans:
        missing = selected if not result.selected.spans else others
        return empty(
            f"There is nothing to compare: no span is {missing}", "Choose a longer time range, or fewer conditions."
        )
    if not found:
        return empty(
            "No attribute differs by more than chance",
            "The cause may lie in a service that these call: open one of the requests, and look at its critical path.",
        )
    rows = [_row(one, view) for one in found[:MOST_SHOWN]]
    heads = ["Attribute", "Value", selected, others, "Difference"]
    more = (
        html.P(f"{len(found) - MOST_SHOWN} more differ less.", className="muted") if len(found) > MOST_SHOWN else None
    )
    note = html.P(
        "Points of share, with their 95 % interval. A value is named only if chance explains none of the differences "
        "at odds of 99 to 1. What differs together need not be the cause.",
        className="muted",
    )
    shown = table(heads, rows, caption="Attributes by difference", kind="differences", numbers=heads[2:])
    return html.Div([shown, more, note])


def _row(one: Difference, view: View) -> Part:
    value, sign = one.value, "+" if one.difference > 0 else "−"
    place = html.Div(value.place, className="reason") if value.place else None
    low, high = sorted((abs(one.low), abs(one.high)))
    points = f"{sign}{abs(one.difference) * 100:.0f} ({low * 100:.0f} to {high * 100:.0f})"
    href = _search(one, view)
    name = value.value or "(empty)"
    return html.Tr(
        [
            html.Th([value.key or "(blank)", place], scope="row"),
            html.Td(dcc.Link(name, href=href, title="Only these spans") if href else name, className="mono value"),
            _share(one.share_selected, value.selected),
            _share(one.share_others, value.others),
            html.Td(points, className="number"),
        ]
    )


def _share(share: float, spans: int) -> Part:
    return html.Td([percent(share), html.Div(f"{spans:,}", className="reason")], className="number")


def _search(one: Difference, view: View) -> str | None:
    """The search narrowed to a value; None where an address cannot say it."""
    value = one.value
    if not value.place:
        name = {"service": "service", "operation": "op"}.get(value.key)
        return view.link(**{name: value.value}) if name and value.value else None
    if not value.value or len(value.value) >= 200 or not value.key or set(value.key) & set(' \t\n=!<>"'):
        return None
    return view.link(attr=f"{view.choice('attr')} {condition_text(value.key, value.value)}".strip())


def _group(name: str, group: Group) -> Part:
    if not group.spans:
        return html.Span([html.Strong(f"{name[:1].upper()}{name[1:]}"), ": no span."])
    failed = f"{percent(group.failed / group.spans)} failed"
    times = f"half within {milliseconds(group.p50_ms)}, 95 % within {milliseconds(group.p95_ms)}"
    return html.Span(
        [html.Strong(f"{name[:1].upper()}{name[1:]}"), f": {count(group.spans, 'span')}, {failed}, {times}."]
    )


def _bound(split: Split, result: SpanComparison) -> Part:
    if split != "slow":
        return None
    return html.P(f"Slow: at least {milliseconds(result.least_ms)}.", className="muted")


def _sample(result: SpanComparison) -> str:
    if max(result.selected.spans, result.others.spans) <= MOST_SAMPLED:
        return "all of them"
    return f"attributes of a sample: {result.sampled_selected:,} and {result.sampled_others:,}"
