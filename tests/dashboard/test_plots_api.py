"""The numbers of a plot over HTTP: of a page by its address, never of a query."""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from pyarrow import parquet

from alerting.channels.slack.standin.served import serving
from dashboard.example_site import SERVICES, ExampleSite
from dashboard.reads.sources import Sources
from dashboard.registry import read_pages
from dashboard.urls import View, service_path
from dashboard.web import api, plots_api

SERVICE = service_path(SERVICES[-1])


@contextmanager
def client(sources: Sources) -> Iterator[httpx.Client]:
    """The route alone, served."""
    app = FastAPI()
    api.add_error_handlers(app)
    app.include_router(plots_api.router(read_pages(), sources))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with serving(app, listener), httpx.Client(base_url=url, timeout=120, trust_env=False) as web:
        yield web


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    site = ExampleSite.start(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


def test_a_plot_as_csv_parquet_and_sql(site: ExampleSite) -> None:
    """All three of the same page; the file's name says what and when."""
    hour = View(path=SERVICE, range="1h").frozen(site.now)
    with client(site.with_much()) as web:
        answer, packed, sql = (
            web.get("/api/v1/plots/red", params={"page": hour, "format": form}) for form in ("csv", "parquet", "sql")
        )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="watchkeeper-services-')
    head, *rows = answer.text.splitlines()
    assert head.startswith("time,requests (requests/s),failed,")
    assert rows
    table = parquet.read_table(io.BytesIO(packed.content))
    assert table.column_names == next(csv.reader([head]))
    assert table.num_rows == len(rows)
    assert sql.text.startswith("SELECT ")
    assert "FROM red" in sql.text


@pytest.mark.parametrize(
    ("name", "page", "status", "reason"),
    [
        ("blue", SERVICE, 404, "no plot blue; it has red"),
        ("red", "/nowhere", 404, "the page /nowhere has no plot red; it has none now"),
        ("red", "nowhere", 422, "page: "),
        ("red", "//evil.example/x", 422, "page: "),
        ("red", f"{SERVICE}?from=x&to=y", 422, "page: from and to must be two times"),
        ("red", f"{SERVICE}?q=" + "x" * 9000, 422, "page: "),
    ],
)
def test_what_cannot_be_answered_says_why(site: ExampleSite, name: str, page: str, status: int, reason: str) -> None:
    """In one sentence, as JSON."""
    with client(site.with_much()) as web:
        answer = web.get(f"/api/v1/plots/{name}?page={quote(page, safe='')}")
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_a_store_that_is_away_is_no_missing_plot(site: ExampleSite) -> None:
    """503 with the reason, so that a program retries."""
    with client(site.without_store()) as web:
        answer = web.get("/api/v1/plots/red", params={"page": SERVICE})
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["error"]
