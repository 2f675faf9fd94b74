"""The page Logs in a browser: a search is typed, mended, narrowed, a line opened, its neighbours and trace followed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from bench.own_roles import loader_of
from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]
TRACE = "5b" * 16
# Ten minutes: one line a second of till, one a minute of them an error; the last error has a trace.
LINES = """
INSERT INTO otel.otel_logs (Timestamp, ServiceName, SeverityNumber, Body, TraceId, LogAttributes, ResourceAttributes)
SELECT fromUnixTimestamp64Nano(toInt64({now} - 600 + number) * 1000000000), 'till', if(number % 60 = 0, 17, 9),
    concat(if(number % 60 = 0, 'drawer ', 'sale '), toString(number), if(number % 60 = 0, ' is stuck <b>', ' done')),
    if(number = 540, '{trace}', ''), map('till.lane', toString(number % 4)), map('k8s.pod.name', 'till-0')
FROM numbers(598)
"""
# The time before was not silent: what is new now can be told.
BEFORE = """
INSERT INTO otel.otel_logs (Timestamp, ServiceName, SeverityNumber, Body)
SELECT fromUnixTimestamp64Nano(toInt64({now} - 2400 - number) * 1000000000), 'till', 9,
    concat('sale ', toString(number), ' done')
FROM numbers(60)
"""


@pytest.fixture(scope="module", autouse=True)
def lines(site: Site) -> None:
    """The log lines of these tests."""
    store = loader_of(site.config)
    now = int(datetime.now(UTC).timestamp())
    store.run(LINES.format(now=now, trace=TRACE))
    store.run(BEFORE.format(now=now))


def test_a_search_is_mended_narrowed_and_leads_to_the_trace(page: Page, show: Show) -> None:
    """By its key to the page; a mistake is pointed at; the box, the legend and an attribute narrow; back undoes."""
    show("/")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/logs")
    box = page.get_by_label("Log lines with")
    box.fill('service:till "is stuck')
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("mistake at character 14")
    expect(page.get_by_role("alert")).to_contain_text("never closed")
    box.fill("service:till")
    box.press("Enter")
    expect(page.locator(".log-legend")).to_contain_text("588 info")
    page.locator(".log-legend").get_by_role("link", name="error").click()
    stuck = page.locator(".log-line")
    expect(stuck).to_have_count(10)
    expect(stuck.first).to_contain_text("drawer 540 is stuck <b>")

    stuck.first.get_by_role("link").first.click()
    page.wait_for_url("**line=**")
    opened = page.locator(".log-open")
    expect(opened).to_contain_text("till.lane")
    assert "from=" in page.url, "an opened line must stand still"
    opened.get_by_role("link", name="Lines around it").click()
    expect(page.locator(".log-line")).to_have_count(41)
    expect(page.locator(".log-line.here")).to_contain_text("drawer 540")
    page.go_back()
    expect(page.locator(".log-line")).to_have_count(10)
    opened.get_by_role("link", name="without").first.click()
    expect(page.locator(".log-line")).to_have_count(0)
    expect(page.locator("#live")).to_contain_text("No line in this time range is like that")
    page.go_back()
    opened.get_by_role("link", name="Its trace", exact=True).click()
    page.wait_for_url(f"**/traces/{TRACE}")


def test_new_lines_come_on_top_until_one_pauses(page: Page, show: Show, site: Site) -> None:
    """Live, a line that arrives is shown without a press; paused, none is."""
    store = loader_of(site.config)

    def arrive(body: str) -> None:
        store.run(
            "INSERT INTO otel.otel_logs (Timestamp, ServiceName, SeverityNumber, Body) "
            f"SELECT now64(9) - 6, 'tail', 9, '{body}'"
        )

    arrive("first")
    show("/logs?service=tail")
    expect(page.locator(".log-line").first).to_contain_text("first")
    arrive("second")
    expect(page.locator(".log-line").first).to_contain_text("second")
    page.get_by_role("link", name="Pause").click()
    expect(page.get_by_text("paused")).to_be_visible()
    arrive("third")
    with page.expect_response(lambda answer: "_dash-update-component" in answer.url):
        pass  # the page was rendered again meanwhile
    expect(page.locator(".log-line").first).to_contain_text("second")
    page.get_by_role("link", name="Follow live").click()
    expect(page.locator(".log-line").first).to_contain_text("third")


def test_templates_name_what_is_new_and_fit_a_phone(page: Page, show: Show) -> None:
    """One kind of line of the till is new; a template leads to its lines; nothing is wider than the screen."""
    page.set_viewport_size({"width": 360, "height": 780})
    show("/logs?service=till&tab=templates")
    row = page.locator("tr", has_text="drawer <*> is stuck")
    expect(row).to_contain_text("new")
    expect(row).to_contain_text("10")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    row.get_by_role("link").first.click()
    expect(page.locator(".log-line")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
