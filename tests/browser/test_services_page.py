"""The map's choices, and the page of one service, as a reader uses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]


def test_the_map_is_searched_and_focused_by_links_and_a_form(page: Page, show: Show) -> None:
    """A name typed and sent stands in the address; around a service its callers stay; the table shows the same."""
    show("/services")
    grid = page.locator("#services-grid")
    expect(grid).to_contain_text("payments")
    page.locator(".map-choices input[type=search]").fill("paym")
    page.locator(".map-choices").get_by_role("button", name="Show").click()
    page.wait_for_url("**q=paym**")
    expect(page.locator("#live")).to_contain_text("Names with “paym”, and their neighbours.")
    expect(grid).to_contain_text("web")
    show("/services?q=zzz")
    expect(page.locator("#live")).to_contain_text("Nothing to show: names with “zzz”")
    show("/services?service=payments")
    page.get_by_role("link", name="1 call", exact=True).click()
    page.wait_for_url("**near=1**")
    expect(page.locator("#live")).to_contain_text("Around payments: what is at most 1 call away.")


def test_a_service_has_a_page_with_tabs_in_the_address(page: Page, show: Show, tmp_path: Path) -> None:
    """From the panel to its page; dependencies both ways; what its detectors can judge, in words."""
    show("/services?service=payments")
    page.get_by_role("link", name="Instances, logs, metrics").click()
    page.wait_for_url("**/services/payments")
    live = page.locator("#live")
    expect(live).to_contain_text("POST /charge")
    expect(live).to_contain_text("Shaded: a detector reported a finding")
    for tab, words in (
        ("Dependencies", "web"),
        ("Instances and versions", "Its telemetry names no instance."),
        ("Logs", re.compile("It logged nothing in the last hour of the time range.|Log patterns")),
        ("Metrics", "It reports no metric"),
        ("Detectors", "No detector has seen it yet: silence does not mean that it is well."),
    ):
        page.locator(".parts").get_by_role("link", name=tab).click()
        expect(page.locator("#service-tab")).to_contain_text(words)
    assert page.url.endswith("/services/payments?tab=detectors")
    page.screenshot(path=tmp_path / "service.png", full_page=True)
    show("/services/nobody")
    expect(live).to_contain_text("No service named nobody reported in this time range")
