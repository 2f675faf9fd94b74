"""Snooze, assign, merge and split on an incident's page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, open_incident

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_without_a_session_nobody_hands_an_incident_over(page: Page, site: Site, show: Callable[[str], None]) -> None:
    """The press explains how to sign in, and nothing changes."""
    incident_id = open_incident(site.incidents, "mooring")
    show(f"/incidents/{incident_id}")
    page.get_by_role("button", name="Snooze or hand over").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()


def test_an_incident_is_snoozed_merged_and_split_on_its_page(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """Each from one dialog; a choice that is missing keeps it open. Looked at in both themes."""
    incident_id = open_incident(site.incidents, "quay")
    other = open_incident(site.incidents, "crane")
    page.goto(f"{site.url}/incidents/{incident_id}")
    page.get_by_role("button", name="Snooze or hand over").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Page nobody for")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / f"handover-{scheme}.png")
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".timeline")).to_contain_text("Ana Sousa snoozed it until")
    assert site.incidents.get(incident_id).human_state == "snoozed"
    page.get_by_role("button", name="Snooze or hand over").click()
    dialog.get_by_text("Merge", exact=True).click()
    dialog.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Nothing was changed")).to_be_visible()
    dialog.get_by_role("textbox", name="Merge it into").click()
    page.get_by_role("option", name=other).click()
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Split off")).to_be_visible()
    page.screenshot(path=tmp_path / "merged.png")
    assert site.incidents.get(incident_id).merged_into == other
    page.get_by_role("button", name="Split off").click()
    expect(page.get_by_role("button", name="Split off")).to_have_count(0)
    assert site.incidents.get(incident_id).human_state == "acknowledged"
