"""A reader whose connection drops, and two people who act at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.investigated import Investigated, investigated

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("tasks")]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Investigated]:
    with investigated(tmp_path_factory.mktemp("together")) as running:
        yield running


def signed_in(browser: Browser, system: Investigated, person: str) -> Page:
    """A browser of its own in which this person has signed in."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB").new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{system.url}/sign-in")
    page.fill("#token", system.token)
    page.select_option("#as", person)
    page.click("button")
    page.wait_for_selector("#live h1", state="attached")
    return page


def test_two_people_who_press_at_once_end_up_with_one_owner(browser: Browser, system: Investigated) -> None:
    """One of them has the incident, both pages say who, and the other is told that somebody was first."""
    pages = {person: signed_in(browser, system, person) for person in ("ana", "ben")}
    for page in pages.values():
        page.goto(f"{system.url}/incidents/{system.incident_id}")
        page.get_by_role("button", name="Acknowledge").wait_for()
    # Both presses are on their way before either answer is back.
    for page in pages.values():
        page.evaluate(
            "[...document.querySelectorAll('button')].find((one) => one.textContent === 'Acknowledge').click()"
        )
    holder = pages["ana"].get_by_text("has it, since").first
    expect(holder).to_be_visible()
    incident = system.incidents.get(system.incident_id)
    assert incident.acknowledged_by is not None
    first = incident.acknowledged_by.name
    for page in pages.values():
        expect(page.locator("#live")).to_contain_text(f"{first} has it, since", timeout=30_000)
    second = pages["ben" if first == "Ana Sousa" else "ana"]
    expect(second.get_by_text(f"already acknowledged by {first}")).to_be_visible()
    acknowledged = [event for event in incident.timeline if event.kind == "acknowledged"]
    assert len(acknowledged) == 1
    for page in pages.values():
        page.context.close()


def test_a_dropped_connection_says_so_and_returns(browser: Browser, system: Investigated) -> None:
    """The page says how old it is, keeps what was typed, and goes on by itself when the web role is back."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB").new_page()
    page.goto(f"{system.url}/incidents")
    page.wait_for_selector("#live h1", state="attached")
    page.get_by_label("Words").fill("half a though")
    page.evaluate("window.sameDocument = true")
    system.roles.kill("web")
    banner = page.get_by_role("alert").filter(has_text="No response from Watchkeeper")
    expect(banner).to_be_visible(timeout=60_000)
    expect(banner).to_contain_text("Retrying")
    system.roles.start("web")
    expect(banner).to_be_hidden(timeout=60_000)
    assert page.evaluate("window.sameDocument") is True
    expect(page.get_by_label("Words")).to_have_value("half a though")
    page.context.close()
