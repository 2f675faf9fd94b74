"""The page Traces in a real browser: search, select on the map, and open a trace by keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]
QUERY = re.compile(r"from=[0-9T:%A-]+Z&to=[0-9T:%A-]+Z&min=[0-9.]+ms&max=[0-9.]+ms")


def test_a_search_stands_in_the_address_and_narrows_the_list(page: Page, show: Show) -> None:
    """The form writes the address; every row is what was asked for; back undoes it."""
    show("/traces?range=1h")
    expect(page.locator("#live")).to_contain_text("The 50 slowest of 4,8")
    page.get_by_label("Service", exact=True).fill("payments")
    page.get_by_label("At least").fill("500ms")
    page.get_by_label("At least").press("Enter")
    expect(page.locator("#live")).to_contain_text("The 50 slowest of 1,1")
    assert "service=payments" in page.url
    assert "min=500ms" in page.url
    expect(page.locator(".requests tbody tr").first).to_contain_text("payments POST /charge")
    expect(page.locator(".requests tbody tr").first).to_contain_text("web → payments")
    page.go_back()
    expect(page.locator("#live")).to_contain_text("The 50 slowest of 4,8")


def test_a_box_on_the_map_becomes_time_and_duration(page: Page, show: Show) -> None:
    """What is drawn around is what is listed; the time is the reader's, the address is in UTC."""
    show("/traces?range=1h")
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.4, steps=5)
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_url(QUERY)
    # Only the five bad minutes are as slow: their requests, and none of the quick ones before.
    expect(page.locator("#live")).to_contain_text("The 50 slowest of 1,1")
    expect(page.get_by_label("At least")).to_have_value(re.compile("ms$"))


def test_keys_open_the_slowest_request(page: Page, show: Show) -> None:
    """g t opens the page, j goes to the first row, Enter opens its trace."""
    show("/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator(".requests tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/traces/[0-9A-F]{32}\?span="))
    expect(page.locator(".waterfall")).to_contain_text("GET /checkout")


def test_a_search_without_result_says_what_to_try(page: Page, show: Show) -> None:
    """Each advice is a link that widens the search."""
    show("/traces?service=payments&status=failed&max=1ms")
    expect(page.locator("#live")).to_contain_text("No span matches in this time range")
    page.get_by_role("link", name="Search spans of any duration").click()
    expect(page.locator(".requests tbody tr").first).to_contain_text("failed")


def test_what_failed_ones_share_is_one_click_away(page: Page, show: Show) -> None:
    """Both groups are described; where nothing differs, the page says so and what to look at."""
    show("/traces?range=1h")
    page.get_by_role("link", name="the failed ones with the others").click()
    expect(page.locator("#live")).to_contain_text("What the failed ones have in common")
    expect(page.locator("#live")).to_contain_text("100 % failed")
    assert "compare=failed" in page.url
