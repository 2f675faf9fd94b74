"""The pages Runbooks and SLOs in a browser: an approval is given where it waits, and both fit a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, open_incident

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]


def test_an_approval_is_given_where_it_waits(page: Page, site: Site, signed_in: None) -> None:
    """By its key to the page; the plan is reviewed and approved; the run stands in the journal, by whom."""
    incident_id = open_incident(site.incidents, "till-to-approve")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runbooks")
    waiting = page.locator("section.proposal", has_text="till-to-approve: 33 %")
    expect(waiting).to_contain_text("waits for approval")
    waiting.get_by_role("button", name="Review and approve").click()
    expect(page.locator("#approve-plan")).to_contain_text("till-to-approve only")
    page.locator("#approve-submit").click()
    run = page.locator("tr", has_text=incident_id)
    expect(run).to_contain_text("Ana Sousa")
    expect(run).to_contain_text("approved")
    expect(waiting).to_have_count(0)
    approved = site.incidents.get(incident_id)
    assert (approved.proposal_state, approved.approved_by and approved.approved_by.name) == ("approved", "Ana Sousa")


def test_a_reader_without_a_session_approves_nothing(page: Page, site: Site, show: Show) -> None:
    """They see all of it; a press is refused, and changes nothing."""
    incident_id = open_incident(site.incidents, "till-to-read")
    show("/runbooks")
    waiting = page.locator("section.proposal", has_text="till-to-read: 33 %")
    waiting.get_by_role("button", name="Review and approve").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    assert site.incidents.get(incident_id).proposal_state == "proposed"


def test_a_plan_stands_in_the_address_and_fits_a_phone(page: Page, show: Show) -> None:
    """A runbook is chosen by a press, a service is written, and back takes both out; no page is too wide."""
    page.set_viewport_size({"width": 360, "height": 780})
    show("/runbooks")
    page.get_by_role("link", name="Restart the service").click()
    page.wait_for_url("**runbook=restart-service")
    page.get_by_label("Service", exact=True).fill("payments")
    page.get_by_role("button", name="Plan").click()
    page.wait_for_url("**service=payments**")
    expect(page.locator(".plan")).to_contain_text("Restart payments")
    expect(page.locator(".plan")).to_contain_text("cannot run now")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.go_back()
    expect(page.locator(".plan")).to_have_count(0)
    show("/slos")
    expect(page.locator("#live")).to_contain_text("No service level objective is configured")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
