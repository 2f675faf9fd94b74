"""The page Metrics: what its address asks for, in words that a reader understands, over a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from plotly.io.json import to_json_plotly

from dashboard.components.escaping import inert
from dashboard.components.wording import measured
from dashboard.example_site import HOSTILE, SERVICES, ExampleSite
from dashboard.page import PageRequest
from dashboard.pages.metrics import PAGE
from dashboard.reads.metric_choices import asked, conditions
from dashboard.reads.metrics import Metric
from dashboard.urls import View, parse
from dashboard.viewer import viewer
from tests.dashboard.values import NOW

DURATION = Metric(
    name="http.server.duration",
    kind="histogram",
    unit="ms",
    description="",
    services=1,
    series=4,
    points=9,
    newest=NOW,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    """A real store with a metric of each hostile name."""
    started = ExampleSite.start(tmp_path_factory.mktemp("site"))
    yield started
    started.close()


def shown(site: ExampleSite, **choices: str) -> str:
    """The page as it goes to the browser, as JSON."""
    request = PageRequest(
        sources=site.with_much(),
        view=View(path=PAGE.path, choices=choices),
        viewer=viewer({"scheme": "dark", "zone": "Asia/Tokyo"}, site.now),
    )
    return json.dumps(json.loads(str(to_json_plotly(inert(PAGE.render(request))))))


def figures(page: str) -> list[dict[str, Any]]:
    """Every figure on it."""
    found: list[dict[str, Any]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "Graph":
                found.append(node["props"]["figure"])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(json.loads(page))
    return found


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("a=b", [("a", "=", "b")]),
        (" a = b c , d!=e* ", [("a", "=", "b c"), ("d", "!=", "e*")]),
        ('note="a, b", http.route=/x', [("note", "=", "a, b"), ("http.route", "=", "/x")]),
        ("empty=", [("empty", "=", "")]),
        ("", []),
    ],
)
def test_conditions_are_read(text: str, matches: list[tuple[str, str, str]]) -> None:
    """Label, operator and value; a value with a comma stands in quotes."""
    read, problem = conditions(text)
    assert problem == ""
    assert [(match.label, match.operator, match.value) for match in read] == matches


@pytest.mark.parametrize("text", ["route", "a=b, oops", 'a="b', "=x"])
def test_a_condition_that_cannot_be_read_is_named(text: str) -> None:
    """What can be read is used, and the rest is named with what to write."""
    _, problem = conditions(text)
    assert "is no condition. Write label=value" in problem


def test_each_query_has_choices_of_its_own() -> None:
    """The first has plain names, the second ends with -b; what does not fit the kind is left at its default."""
    search = (
        "?metric=http.server.duration&show=p50&by=route,+service&metric-b=http.server.duration&show-b=value&agg-b=no"
    )
    first, second = asked(parse("/explore", search), [DURATION])
    assert (first.letter, first.show, first.by, first.unit) == ("A", "p50", ("route", "service"), "ms")
    assert (second.letter, second.show, second.aggregation) == ("B", "p95", "avg")
    (rate,) = asked(parse("/explore", "?metric=http.server.duration&show=rate"), [DURATION])
    assert (rate.unit, rate.aggregation, rate.words) == (
        "observations/s",
        "sum",
        "sum of the rate of http.server.duration",
    )


def test_a_wrong_name_gets_a_suggestion() -> None:
    """Somebody who mistypes a metric reads which ones there are."""
    (one,) = asked(parse("/explore", "?metric=http.server.duraton"), [DURATION])
    assert "Did you mean http.server.duration?" in one.problem


def test_values_are_read_in_their_units() -> None:
    """Bytes, seconds and rates as people read them."""
    assert measured(1536, "By/s") == "1.5 KiB/s"
    assert measured(1.5, "s") == "1.5 s"
    assert measured(3, "{request}") == "3 request"
    assert measured(float("nan"), "s") == "–"


def test_a_query_is_drawn_with_its_values(site: ExampleSite) -> None:
    """The plot holds the series' points, and each carries its Unix second."""
    name = SERVICES[-1]
    page = shown(site, metric=name, by=name)
    (figure,) = figures(page)
    (line,) = figure["data"]
    assert line["name"] == f"{name}={name}"
    assert line["y"] == sorted(line["y"])
    assert all(isinstance(at, int) for at in line["customdata"])
    assert "many values" not in page


@pytest.mark.parametrize("name", HOSTILE[:6])
def test_a_hostile_metric_stays_text(site: ExampleSite, name: str) -> None:
    """Names, units, labels and values of metrics come from outside."""
    page = shown(site, metric=name.strip(), by=name, where=f'{name}="{name}"', at="99999999999999999999")
    for figure in figures(page):
        assert "<script" not in json.dumps(figure)
        assert "<img" not in json.dumps(figure)


def test_the_chosen_minute_leads_to_traces_and_logs(site: ExampleSite) -> None:
    """The links name the minute and the service that the query is about."""
    at = int(site.now.timestamp()) - 300
    page = shown(site, metric=SERVICES[-1], where=f"service={SERVICES[-1]}", at=str(at))
    minute = site.now.fromtimestamp(at // 60 * 60, site.now.tzinfo)
    for path in ("/traces", "/logs"):
        assert f"{path}?from={minute:%Y-%m-%dT%H:%M:%SZ}" in page
        assert f"service={SERVICES[-1]}" in page


def test_without_earlier_days_there_is_no_band(site: ExampleSite) -> None:
    """The page says why."""
    assert "fewer than three earlier days" in shown(site, metric=SERVICES[-1], band="on")
