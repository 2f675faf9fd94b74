"""The incident's page: the first screen, tabs and filters in the address, a note, and judgements."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Site, open_incident

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]
FIRST_SCREEN = {
    "h1": "payments: 33 % of requests fail",
    ".glance": re.compile(r"Users of web: 3\d % of requests fail \("),
    ".cause": "payments fails 33 % of its requests",
    ".cause .js-plotly-plot": "payments: failed requests",
    ".proposal": "Roll back the last deploy",
    ".incident-summary .events": "New endpoint",
}


def test_the_first_screen_answers_without_scrolling(page: Page, site: Site, show: Show, tmp_path: Path) -> None:
    """What, since when, who is hurt, the likely cause with a plot, what changed, what can be done, who has it."""
    page.set_viewport_size({"width": 1440, "height": 900})
    show(f"/incidents/{site.incident_id}")
    for selector, words in FIRST_SCREEN.items():
        shown = page.locator(selector).first
        expect(shown).to_contain_text(words)
        assert bottom(shown) <= 900, f"{selector} ends below the first screen"
    expect(page.locator(".glance")).to_contain_text("Nobody yet: paged")
    page.screenshot(path=tmp_path / "incident.png")


def test_one_thumb_is_enough_at_360_pixels(browser: Browser, site: Site, tmp_path: Path) -> None:
    """What can be pressed is 44 pixels high and wide; nothing but a scroller of its own is wider than the screen."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, has_touch=True)
    phone = context.new_page()
    phone.goto(f"{site.url}/incidents/{site.incident_id}")
    expect(phone.locator(".glance")).to_contain_text("Users of web")
    pressed = phone.locator(".incident-head button, .incident-summary button, .incident-summary summary, .parts a")
    shown = [each for each in pressed.all() if each.is_visible()]  # not what is folded
    assert len(shown) >= 12
    for each in shown:
        box = each.bounding_box()
        assert box is not None
        assert box["height"] >= 44, each.inner_text()
        assert box["width"] >= 44, each.inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert bottom(phone.locator(".cause .suspect-head")) <= 800
    phone.screenshot(path=tmp_path / "phone.png")
    context.close()


def test_tabs_and_filters_stand_in_the_address(page: Page, site: Site, show: Show) -> None:
    """A tab opens without a jump to the top, back works, and the address restores tab and filter."""
    page.set_viewport_size({"width": 1280, "height": 600})
    show(f"/incidents/{site.incident_id}")
    tabs = page.locator(".parts")
    tabs.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    tabs.get_by_role("link", name="Evidence").click()
    page.wait_for_url("**?tab=evidence")
    expect(page.locator("#incident-tab")).to_contain_text("Suspects and their evidence")
    assert page.evaluate("scrollY") >= min(before, 1)
    tabs.get_by_role("link", name="Requests").click()
    expect(page.locator("#incident-tab")).to_contain_text("POST /charge")
    page.go_back()
    expect(page.locator("#incident-tab")).to_contain_text("Suspects and their evidence")
    show(f"/incidents/{site.incident_id}?kind=pages")
    expect(page.locator(".timeline li")).not_to_have_count(0)
    for entry in page.locator(".timeline li").all():
        expect(entry).to_contain_text("page")
    expect(page.locator("#incident-tab a.on")).to_have_text("Pages")


def test_a_note_is_added_once_written(page: Page, site: Site, signed_in: None, tmp_path: Path) -> None:
    """An empty one is refused and the dialog stays; what was written stands in the timeline with its author."""
    incident_id = open_incident(site.incidents, "jetty")
    page.goto(f"{site.url}/incidents/{incident_id}")
    page.get_by_role("button", name="Add a note").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add the note").click()
    expect(page.get_by_text("Write what happened or what you did first.")).to_be_visible()
    dialog.locator("#note-text").fill("x" * 2001)
    dialog.get_by_role("button", name="Add the note").click()
    expect(page.get_by_text("It has 2,001 characters; at most 2,000 are kept.")).to_be_visible()
    dialog.locator("#note-text").fill("<b>rolled back</b> by hand")
    page.screenshot(path=tmp_path / "note.png")
    dialog.get_by_role("button", name="Add the note").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".timeline")).to_contain_text("<b>rolled back</b> by hand")
    (entry,) = [each for each in site.incidents.get(incident_id).timeline if each.kind == "noted"]
    assert (entry.who, entry.via, entry.text) == ("Ana Sousa", "dashboard", "<b>rolled back</b> by hand")


def test_a_false_page_then_a_wrong_cause_are_one_judgement(page: Page, site: Site, signed_in: None) -> None:
    """Both buttons stand beside what they judge; the second keeps the first's answer, and the incident stays open."""
    incident_id = open_incident(site.incidents, "slip")
    page.goto(f"{site.url}/incidents/{incident_id}")
    page.get_by_text("Why was I notified?").click()
    page.get_by_role("button", name="Not worth a page").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio", name="No, a false page")).to_be_checked()
    dialog.get_by_role("button", name="Keep the judgement").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".judged")).to_contain_text("no cause named; the page was not warranted")
    page.get_by_role("button", name="Wrong cause").click()
    expect(dialog.get_by_role("radio", name="No, a false page")).to_be_checked()
    dialog.locator("#judge-note").fill("it was the network")
    dialog.get_by_role("button", name="Keep the judgement").click()
    expect(page.locator(".judged")).to_contain_text("it was the network")
    incident = site.incidents.get(incident_id)
    (label,) = incident.labels
    assert (label.author, label.warranted, label.cause, label.note) == ("Ana Sousa", False, None, "it was the network")
    assert incident.is_open


def bottom(shown: Locator) -> float:
    """Pixels from the top of the screen to an element's lower edge."""
    box = shown.bounding_box()
    assert box is not None
    return box["y"] + box["height"]
