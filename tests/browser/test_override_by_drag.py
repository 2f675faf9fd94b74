"""An override begins as a drag over the calendar of On call, or with keys at a handoff."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from alerting.oncall.schedule import Override, remove_override, stored_overrides
from tests.browser.conftest import Site
from watchkeeper.vocabulary import Actor

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

BEN = Actor(name="Ben Okoro", via="api")
# The library's own header of a dialog is a banner beside the page's.
RULES = {"rules": {"landmark-no-duplicate-banner": {"enabled": False}}}


def test_a_drag_fills_in_the_form_and_only_its_submit_keeps_it(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """Cancelled, nothing is kept and the calendar is as before; submitted, it is drawn there."""
    page.goto(f"{site.url}/oncall")
    dialog = page.get_by_role("dialog")
    drag(page)
    expect(dialog.get_by_role("textbox", name="Schedule")).to_have_value("primary")
    expect(dialog.get_by_label("From")).to_have_value(re.compile(r"^20\d\d-\d\d-\d\d \d\d:00$"))
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert not not_over(site)
    expect(page.locator(".select-outline, .selectionlayer path")).to_have_count(0)  # the box is gone with its question
    begin, end = drag(page)
    expect(dialog).to_be_visible()
    look(page, tmp_path)
    dialog.get_by_role("button", name="Override", exact=True).click()
    expect(page.get_by_text("Choose who takes over first.")).to_be_visible()
    dialog.get_by_role("textbox", name="Who takes over?").click()
    page.get_by_role("option", name="Ben Okoro").click()
    dialog.get_by_role("button", name="Override", exact=True).click()
    expect(dialog).to_be_hidden()
    (kept,) = not_over(site)
    assert (kept.schedule, kept.person, kept.author) == ("primary", "ben", "Ana Sousa")
    assert abs(kept.start - begin) < timedelta(hours=2)
    assert abs(kept.end - end) < timedelta(hours=2)
    assert (kept.start.minute, kept.end.minute) == (0, 0)
    expect(page.locator(".bartext", has_text="(override)")).to_have_count(1)
    remove_override(site.database, kept.id, datetime.now(UTC), BEN)


def test_keys_override_the_turn_of_a_handoff(page: Page, site: Site, signed_in: None) -> None:
    """Enter on its button fills in that turn, from its handoff to its end."""
    page.goto(f"{site.url}/oncall")
    page.get_by_role("button", name=re.compile("^Override primary from")).nth(1).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Until")).not_to_have_value("")
    dialog.get_by_role("textbox", name="Who takes over?").focus()
    page.keyboard.type("ana")
    expect(page.get_by_role("option", name="Ana Sousa")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Override", exact=True).focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    (kept,) = not_over(site)
    assert (kept.person, kept.end - kept.start) == ("ana", timedelta(days=1))
    remove_override(site.database, kept.id, datetime.now(UTC), BEN)


def test_a_drag_without_a_session_opens_nothing(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/oncall")
    drag(page)
    expect(page.get_by_text("This browser has no session")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def drag(page: Page) -> tuple[datetime, datetime]:
    """Over two days in the middle of the only row: when they begin and end, as the axis shows it."""
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    expect(page.locator(".bartext").first).to_be_visible()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    left, right = (box["x"] + box["width"] * part for part in (0.5, 0.64))
    middle = box["y"] + box["height"] / 2
    page.mouse.move(left, middle)
    page.mouse.down()
    page.mouse.move((left + right) / 2, middle + 2)
    page.mouse.move(right, middle + 3)
    expect(page.locator(".select-outline").first).to_be_attached()
    page.wait_for_timeout(200)  # Plotly marks what is in the box a little later
    paler = "paths => paths.filter(path => Number(getComputedStyle(path).opacity) < 1).length"
    assert page.locator(".barlayer .point path").evaluate_all(paler) == 0  # a drag chooses hours, not bars
    page.mouse.up()
    first = datetime.now(UTC) - timedelta(days=1)
    return first + timedelta(days=15 * 0.5), first + timedelta(days=15 * 0.64)


def not_over(site: Site) -> list[Override]:
    return [each for each in stored_overrides(site.database) if each.end > datetime.now(UTC)]


def look(page: Page, folder: Path) -> None:
    """Axe's rules, and pictures for people, in both themes, on a wide screen and on a phone."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (1024, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)  # plots draw themselves
            page.screenshot(path=folder / f"override-{scheme}-{width}.png")
            result = Axe().run(page, context='[role="dialog"]', options=RULES).response["violations"]
            found += [f"{scheme}, {width}: {each['id']} {each['nodes'][0]['target']}" for each in result]
    page.set_viewport_size({"width": 1280, "height": 900})
    assert not found, "\n".join(found)
