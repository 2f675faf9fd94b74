"""Somebody finds a metric in the dictionary, groups it, and goes from a point to the requests of its minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from bench.own_roles import loader_of
from tests.browser.conftest import Site

# Half an hour of a gauge of two pools, a point a minute.
GAUGE = """
INSERT INTO otel.otel_metrics_gauge
    (ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, TimeUnix, Value)
SELECT 'payments', 'pool.memory.used', 'Memory of each pool.', 'By', map('pool', ['heap', 'meta'][pool + 1]),
    fromUnixTimestamp64Milli(toInt64({now} - number * 60) * 1000), (pool + 1) * 1048576 * (100 + number)
FROM numbers(30) ARRAY JOIN [0, 1] AS pool
"""


@pytest.fixture(scope="module")
def gauge(site: Site) -> None:
    config = site.config
    store = loader_of(config)
    store.run(GAUGE.format(now=int(datetime.now(UTC).timestamp())))


@pytest.mark.usefixtures("gauge")
def test_from_the_dictionary_to_the_minute(page: Page, show: Callable[[str], None]) -> None:
    """Search, open, group by a label, press a point: the address holds every choice, and back undoes the last."""
    show("/explore")
    page.get_by_placeholder("duration, memory, By, counter").fill("pool")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="pool.memory.used").click()
    page.get_by_role("link", name="pool", exact=True).click()
    lines = page.get_by_role("region", name="Lines of the plot")
    expect(lines.get_by_role("row")).to_have_count(3)
    expect(lines).to_contain_text("pool=meta")
    expect(lines).to_contain_text("MiB")
    page.locator("summary", has_text="Values of").click()
    page.get_by_role("link", name="Minute").nth(3).click()
    minute = page.get_by_role("region", name="The chosen minute")
    expect(minute.get_by_role("link", name="Traces")).to_be_visible()
    assert "at=" in page.url
    page.go_back()
    expect(minute).to_have_count(0)
    assert "by=pool" in page.url


@pytest.mark.usefixtures("gauge")
def test_a_pressed_point_is_chosen(page: Page, show: Callable[[str], None]) -> None:
    """A click on a line writes its time into the address."""
    show("/explore?metric=pool.memory.used&where=pool%3Dheap")
    page.wait_for_selector(".plot .scatterlayer .js-line")
    line = page.locator(".plot .scatterlayer .js-line").first.bounding_box()
    assert line is not None
    x, y = line["x"] + line["width"] - 1, line["y"] + line["height"] - 1  # its newest point, which is the lowest
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(page.get_by_role("region", name="The chosen minute")).to_be_visible()
    assert "at=" in page.url
