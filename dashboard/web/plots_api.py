"""The numbers behind a plot, as CSV or Parquet, and the queries that gave them.

Whoever asks names a page and a plot of it, never a query: the page is drawn as for a reader in UTC, and the plot's own
numbers are the answer. So the file has what the plot shows, for every plot of every page, and costs what a look at
the page costs.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import pyarrow as pa
from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response

from dashboard.components.attempts import attempt
from dashboard.drawing import Drawing, drawing
from dashboard.figures.figure_table import figure_table
from dashboard.page import PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import Pages
from dashboard.urls import View, parse
from dashboard.viewer import viewer
from watchkeeper.text import one_line

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
Address = Annotated[str, Query(alias="page", max_length=8000, pattern=r"^/([^/\\\x00][^\x00]*)?$")]
Form = Literal["csv", "parquet", "sql"]
TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "sql": "text/plain; charset=utf-8",
}
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins so


def router(pages: Pages, sources: Sources) -> APIRouter:
    """The route under /api/v1."""
    api = APIRouter(prefix="/api/v1")

    @api.get(
        "/plots/{name}",
        response_class=Response,
        responses={
            200: {"description": "The file.", "content": {kind.partition(";")[0]: {} for kind in TYPES.values()}}
        },
    )
    def get_plot(
        name: Name,
        page: Address,
        form: Annotated[Form, Query(alias="format")] = "csv",
    ) -> Response:
        """A plot's numbers (`format` csv or parquet) or its queries (sql). `page` is a path of the dashboard.

        Give `page` a `from` and a `to`, in UTC: without them its time range ends now. 404 if the page has no such plot,
        with the names of those that it has; 503 if a part of the page cannot be read.
        """
        now = sources.now()
        parts = urlsplit(page)
        view = parse(parts.path, parts.query)
        if view.problem:
            return JSONResponse({"error": f"page: {one_line(view.problem, 500)}"}, 422)
        of = _drawn(pages, sources, view, now)
        plotted = of.plots.get(name)
        if plotted is None and of.problems:
            return JSONResponse({"error": one_line(of.problems[0], 500)}, 503)
        if plotted is None:
            has = f"it has {', '.join(sorted(of.plots))}" if of.plots else "it has none now"
            text = f"the page {one_line(parts.path, 200)} has no plot {one_line(name, 100)}; {has}"
            return JSONResponse({"error": text}, 404)
        window = view.window(now)
        stamps = "-".join(f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}" for at in (window.start, window.end))
        file = f"watchkeeper-{_plain(parts.path)}-{_plain(name)}-{stamps}.{form}"
        if form == "sql":
            body = (";\n\n".join(plotted.queries) + ";\n").encode(errors="replace") if plotted.queries else b""
        else:
            table = figure_table(plotted.figure)
            body = as_csv(table) if form == "csv" else as_parquet(table)
        headers = {"Content-Disposition": f'attachment; filename="{file}"', "Cache-Control": "no-store"}
        return Response(body, media_type=TYPES[form], headers=headers)

    return api


def _drawn(pages: Pages, sources: Sources, view: View, now: datetime) -> Drawing:
    opened = pages.open(view.path)
    reader = viewer({"scheme": "light", "zone": "UTC"}, now)
    with drawing(view, now) as of:
        request = PageRequest(sources=sources, view=view, viewer=reader, argument=opened.argument)
        attempt("This page", lambda: opened.page.render(request))
    return of


def as_csv(table: pa.Table) -> bytes:
    """The table as CSV (RFC 4180) in UTF-8: times in ISO 8601, nothing where there is no value.

    A text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_inert(name) for name in table.column_names])
    writer.writerows([_cell(value) for value in row.values()] for row in table.to_pylist())
    return text.getvalue().encode(errors="replace")


def as_parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    from pyarrow import parquet  # 40 ms that few readers need

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _inert(value) if isinstance(value, str) else value


def _inert(text: str) -> str:
    """Also behind blanks that a spreadsheet takes away."""
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text


def _plain(text: str) -> str:
    """A part of a file's name that every system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60] or "overview"
