"""A store that is busy: the page says what it reads, then that the store is slow; a reader cancels and reads again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from watchkeeper.store.telemetry import Telemetry

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
# Holds a connection for some twenty seconds without work; the engine sleeps 3 s at most, two at a time.
SLEEP = " UNION ALL ".join(["SELECT sleep(3) AS slept"] * 14)


@contextmanager
def busy(site: Site) -> Iterator[None]:
    """All connections of the store's readers are taken; they are free again at the end of the block."""
    telemetry = Telemetry.connect(site.config)
    with ThreadPoolExecutor(site.config.store.readers) as pool:
        sleeping = [pool.submit(telemetry.query, SLEEP) for _ in range(site.config.store.readers)]
        yield
        for one in sleeping:
            one.result()


def test_a_wait_is_put_into_words_and_can_be_cancelled(page: Page, site: Site, show: Callable[[str], None]) -> None:
    """The line comes, turns into one with a button, and a cancelled page stays as it was until it is read again."""
    show("/oncall")
    line = page.locator("#waiting")
    expect(line).to_be_empty()
    assert line.get_attribute("aria-live") == "polite"
    with busy(site):
        page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Traces").click()
        expect(line).to_contain_text("eading traces of the last 30m")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(line).to_contain_text("Still reading traces of the last 30m; the store is slow.")
        line.get_by_role("button", name="Cancel").click()
        expect(line).to_contain_text("Cancelled. The page shows what was read before.")
        expect(line.get_by_role("button", name="Read again")).to_be_focused()
        expect(page.locator("#live")).to_contain_text("The next two weeks")
    page.keyboard.press("Enter")
    expect(page.locator("#live h1")).to_have_text("Traces")
    expect(line).to_be_empty()


def test_a_newer_page_takes_the_place_of_the_awaited(page: Page, site: Site, show: Callable[[str], None]) -> None:
    """Of two pages that are asked for one after the other, the line names the second, and it is the one that comes."""
    show("/oncall")
    links = page.get_by_role("navigation", name="Pages", exact=True)
    line = page.locator("#waiting")
    with busy(site):
        links.get_by_role("link", name="Traces").click()
        expect(line).to_contain_text("eading traces of the last 30m")
        links.get_by_role("link", name="Logs").click()
        expect(line).to_contain_text("eading logs of the last 30m")
    expect(page.locator("#live h1")).to_have_text("Logs")
    expect(line).to_be_empty()
