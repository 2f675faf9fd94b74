"""The menu of a plot: the query behind it, its data as files, a picture of it, and a link with absolute times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from dashboard.drawing import Plotted, current
from dashboard.figures.frame import Figure

Part = Any  # as in elements, which imports this

LONGEST: Final = 3000  # letters of the queries that are shown; the file has all
FORMATS: Final = {"csv": "CSV", "parquet": "Parquet", "sql": "SQL"}


def chart_menu(name: str, figure: Figure, words: str, reads: Sequence[str]) -> html.Details | None:
    """The menu of the plot `name` of the page that is being drawn; None outside of one.

    `reads` name the reads that made the plot. The files come from the same page, drawn again at the same time.
    """
    of = current()
    if of is None:
        return None
    plotted = of.add(name, figure, reads)
    at = quote(of.address, safe="", errors="replace")
    plot = quote(name, safe="", errors="replace")
    files = [
        html.Li(html.A(label, href=f"/api/v1/plots/{plot}?format={form}&page={at}", download=""))
        for form, label in FORMATS.items()
        if form != "sql" or plotted.queries
    ]
    picture = html.Button("PNG", type="button", className="link", **{"data-picture": name})
    link = dcc.Link("Link with absolute times", href=of.address)
    return html.Details(
        [
            html.Summary(
                html.Span("⋮", **{"aria-hidden": "true"}), **{"aria-label": f"Menu of this plot: {words[:80]}"}
            ),
            html.Div(
                [html.Ul([*files, html.Li(picture), html.Li(link)], className="chart-links"), *_queries(plotted)],
                className="chart-menu-body",
            ),
        ],
        className="chart-menu",
    )


def _queries(plotted: Plotted) -> list[Part]:
    """The queries as the store got them, or where the numbers come from instead."""
    if not plotted.queries:
        kept = f"No query was sent: read from the state database, or kept in memory ({', '.join(plotted.reads)})."
        return [html.P(kept if plotted.reads else "Its query is not known.", className="muted")]
    text = ";\n\n".join(plotted.queries)
    cut = html.P("The file SQL has the rest.", className="muted") if len(text) > LONGEST else None
    # A long text scrolls on its own, by keys as well.
    pre = html.Pre(text[:LONGEST], tabIndex=0, role="region", **{"aria-label": "Query"})
    return [html.P("Query, in ClickHouse’s SQL:", className="chart-query"), pre, cut]
