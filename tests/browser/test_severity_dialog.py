"""The severity on an incident's page and in the list of incidents."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, open_incident

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_the_severity_is_changed_with_a_reason_and_filters_the_list(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """Without a reason the dialog stays open; timeline and filter follow. Looked at in three widths."""
    incident_id = open_incident(site.incidents, "slipway")
    page.goto(f"{site.url}/incidents/{incident_id}")
    page.get_by_role("button", name="Change severity").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Severity").click()
    page.get_by_role("option", name="SEV1").click()
    dialog.get_by_role("button", name="Change the severity").click()
    expect(page.get_by_text("Write the reason")).to_be_visible()
    dialog.get_by_label("Why?").fill("no ship is launched <b>at all</b>")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (360, 1024, 1600):
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=tmp_path / f"severity-{scheme}-{width}.png")
    dialog.get_by_role("button", name="Change the severity").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".timeline")).to_contain_text("SEV1: no ship is launched <b>at all</b>")
    assert site.incidents.get(incident_id).level == "SEV1"
    page.screenshot(path=tmp_path / "changed.png")
    page.goto(f"{site.url}/incidents")
    page.get_by_role("link", name="SEV1", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=tmp_path / f"list-{width}.png")
