"""A press that lasts while the page refreshes itself: the link stays where it is until the press has done its work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
# What a refresh brings when an incident was opened meanwhile: everything is one place further down. It goes the way of
# an answer from the server, at the moment that the test needs.
ANOTHER_ON_TOP = """() => {
    const api = window.dash_component_api;
    const find = (node) => {
        if (!node || typeof node !== "object") return null;
        if (Array.isArray(node)) return node.map(find).find(Boolean) || null;
        if (!node.props) return null;
        return node.props.id === "live" ? node : find(node.props.children);
    };
    const live = find(api.getLayout(["components"]));
    const props = {children: "Another one", style: {height: "90px"}};
    const top = {type: "P", namespace: "dash_html_components", props: props};
    const tree = [top, ...[].concat(live.props.children)];
    const at = window.location.pathname + window.location.search;
    window.dash_clientside.set_props("fresh", {data: {at: at, tree: tree}});
}"""
TOUCH = {"pointerId": 7, "pointerType": "touch", "bubbles": True}


@pytest.fixture
def link(page: Page, show: Callable[[str], None]) -> Locator:
    """A link of the list. The page's own refreshes are off, so that only the test's come."""
    show("/incidents?state=open")
    page.evaluate("window.dash_clientside.set_props('clock', {disabled: true})")
    return page.locator("#live [data-row] a").first


def test_a_press_that_a_refresh_falls_into_opens_its_link(page: Page, link: Locator) -> None:
    """Between the button's down and up nothing moves; the click opens the incident."""
    link.hover()
    page.mouse.down()
    page.evaluate(ANOTHER_ON_TOP)
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    expect(page.get_by_text("Another one")).to_have_count(0)
    page.mouse.up()
    page.wait_for_url("**/incidents/inc-*", timeout=20_000)


def test_the_refresh_is_shown_once_the_press_is_over(page: Page, link: Locator) -> None:
    """A press that ends elsewhere, a touch that became a scroll, and a key that is held: each only delays it."""
    page.locator("#live h1").hover()
    page.mouse.down()
    page.mouse.move(1, 1)
    page.evaluate(ANOTHER_ON_TOP)
    expect(page.get_by_text("Another one")).to_have_count(0)
    page.mouse.up()
    expect(page.get_by_text("Another one")).to_have_count(1)
    page.dispatch_event("#live", "pointerdown", TOUCH)
    page.evaluate(ANOTHER_ON_TOP)
    expect(page.get_by_text("Another one")).to_have_count(1)
    page.dispatch_event("#live", "pointercancel", TOUCH)
    expect(page.get_by_text("Another one")).to_have_count(2)
    page.keyboard.down(" ")
    page.evaluate(ANOTHER_ON_TOP)
    expect(page.get_by_text("Another one")).to_have_count(2)
    page.keyboard.up(" ")
    expect(page.get_by_text("Another one")).to_have_count(3)
