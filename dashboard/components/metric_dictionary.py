"""The dictionary of metrics: what each is, who sends it, and what of it is too numerous."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.reads.metric_choices import Asked, choice_name
from dashboard.reads.metrics import Metric, Sender
from dashboard.urls import View
from dashboard.viewer import Viewer

SHOWN = 40
# From here on a metric costs more than it says: each series is kept in memory by whoever aggregates it.
MANY_SERIES = 1000  # of one service
MANY_VALUES = 500  # of one label


def dictionary_card(view: View, dictionary: Sequence[Metric], viewer: Viewer) -> Part:
    """Every metric that arrived, searched by words of its name, description, unit and kind; most series first."""
    wanted = view.words.casefold().split()
    hits = [metric for metric in dictionary if all(word in _text(metric) for word in wanted)]
    form = query_form(view, [Field(name="q", label="Words", placeholder="duration, memory, By, counter", wide=True)])
    if not dictionary:
        body: Part = empty(
            "No metric has arrived in this time range",
            "Choose a longer time range above, or send OTLP metrics to the ingest role.",
        )
    elif not hits:
        body = empty(
            f"No metric about {view.words!r}", "Choose other words: of a name, a description, a unit or a kind."
        )
    else:
        rows = [_row(metric, view, viewer) for metric in hits[:SHOWN]]
        heads = ["Metric", "Kind", "Unit", "Series", "Services", "Points", "Newest"]
        body = table(heads, rows, caption="Metrics, most series first", numbers=["Series", "Services", "Points"])
    more = f"the {SHOWN} with most series are shown" if len(hits) > SHOWN else "most series first"
    return card("Dictionary", form, body, aside=f"{count(len(hits), 'metric')}, {more}")


def metric_card(
    asked: Asked,
    metric: Metric,
    senders: Sequence[Sender],
    labels: Sequence[tuple[str, int]],
    view: View,
    viewer: Viewer,
) -> Part:
    """What one metric is: kind, unit, labels with their number of values, and who sends it."""
    temporality = sorted({sender.temporality for sender in senders if sender.temporality})
    scopes = sorted({sender.scope for sender in senders if sender.scope})
    pairs: list[tuple[str, Part]] = [
        ("Kind", f"{metric.kind}, {' and '.join(temporality)}" if temporality else metric.kind),
        ("Unit", metric.unit or "none was sent"),
        ("Series", [f"about {metric.series:,} ", numerous(metric)]),
        ("Instrumentation", ", ".join(scopes[:4]) or "not named"),
    ]
    return card(
        metric.name,
        html.P(metric.description or "No description was sent.", className="muted"),
        facts(*pairs),
        html.Div(
            [
                html.Div(_labels(asked, labels, view), className="half"),
                html.Div(_senders(senders, view, viewer), className="half"),
            ],
            className="columns even",
        ),
    )


def _labels(asked: Asked, labels: Sequence[tuple[str, int]], view: View) -> Part:
    if not labels:
        return card("Labels", html.P("This metric has no label.", className="muted"), level=3)
    choice = choice_name("by", asked.letter)
    rows = []
    for label, values in labels[:SHOWN]:
        many = values >= MANY_VALUES
        rows.append(
            html.Tr(
                [
                    html.Th(dcc.Link(label, href=view.link(**{choice: label}), title=f"Group by {label}"), scope="row"),
                    html.Td(f"{values:,}", className="number"),
                    html.Td(pill("many values", "degraded", "▲") if many else None),
                ]
            )
        )
    advice = (
        "A label with many values makes a series of each. Drop it with a view in the SDK, or with the attributes "
        "processor of an OpenTelemetry Collector."
    )
    numerous = any(values >= MANY_VALUES for _, values in labels)
    return card(
        "Labels",
        table(["Label", "Values", ""], rows, caption="Labels, most values first", numbers=["Values"]),
        html.P(advice, className="hint") if numerous else None,
        level=3,
        aside="press one to group by it",
    )


def _senders(senders: Sequence[Sender], view: View, viewer: Viewer) -> Part:
    rows = [
        html.Tr(
            [
                html.Th(dcc.Link(sender.service, href=view.link(service=sender.service)), scope="row"),
                html.Td(
                    [f"{sender.series:,} ", pill("many", "degraded", "▲") if sender.series >= MANY_SERIES else None],
                    className="number",
                ),
                html.Td(moment(sender.newest, viewer, relative=True)),
            ]
        )
        for sender in senders[:SHOWN]
    ]
    heads = ["Service", "Series", "Newest"]
    return card(
        "Sent by",
        table(heads, rows, caption="Services that send it, most series first", numbers=["Series"]),
        level=3,
        aside=count(len(senders), "service") if len(senders) < 200 else "200 or more services",
    )


def _row(metric: Metric, view: View, viewer: Viewer) -> Part:
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(
                        metric.name,
                        href=view.link(metric=metric.name, where=None, by=None, show=None, agg=None, at=None, words=""),
                    ),
                    html.Div(metric.description, className="reason") if metric.description else None,
                ],
                scope="row",
            ),
            html.Td(metric.kind),
            html.Td(metric.unit or "–"),
            html.Td([numerous(metric), f" {metric.series:,}"], className="number"),
            html.Td(f"{metric.services:,}", className="number"),
            html.Td(f"{metric.points:,}", className="number"),
            html.Td(moment(metric.newest, viewer, relative=True)),
        ],
        tabIndex=0,
        **{"data-row": metric.name},
    )


def numerous(metric: Metric) -> Part:
    """A word for a metric with more series than its senders explain; None for another."""
    many = metric.series >= MANY_SERIES * max(1, metric.services)
    return pill("too numerous", "degraded", "▲") if many else None


def _text(metric: Metric) -> str:
    return f"{metric.name} {metric.description} {metric.unit} {metric.kind}".casefold()
