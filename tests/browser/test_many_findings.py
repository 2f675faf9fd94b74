"""An incident with many findings and a ticket, as a reader sees them: what matters first, the rest folded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, open_incident, slow_finding
from watchkeeper.vocabulary import Evidence, Finding, Suspect

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]
TALLEST = 1440  # pixels: two screens of 1,280 by 720


def many(site: Site, service: str) -> str:
    """A usual incident, with nine findings of three severities more, and details by the dozen."""
    incident_id = open_incident(site.incidents, service, accused="web")
    incident = site.incidents.get(incident_id)
    now = datetime.now(UTC)
    slow = replace(slow_finding(service, 900.0), key="")
    further: list[Finding] = [
        replace(
            slow, operation=f"GET /{number}", key=f"{service}:{number}", severity="page" if number < 3 else "ticket"
        )
        for number in range(9)
    ]
    further += [
        replace(
            slow,
            kind="metric",
            severity="detail",
            key=f"{service}:heap:{number}",
            signal="vm.heap.space.available_size",
            value=83_328.0,
            expected=29_584.0,
            unit="",
            summary=f"{service}: available heap space (space {number}) is 83 kB (usually 30 kB)",
        )
        for number in range(12)
    ]
    opened = [finding for one in site.incidents.list("open") for finding in one.findings]
    site.incidents.observe([*opened, *further], now=now)
    assert incident.diagnosis is not None
    first = incident.diagnosis.suspects[0]
    reasons = tuple(
        Evidence(kind="errors", weight=2.0 - number / 5, sentence=f"reason {number}: {first.evidence[0].sentence}")
        for number in range(6)
    )
    others = tuple(
        Suspect(service=f"other-{number}", score=0.5, probability=0.02, evidence=reasons[:3]) for number in range(4)
    )
    suspects = (replace(first, evidence=(*first.evidence, *reasons)), *others)
    later = replace(incident.diagnosis, suspects=suspects, made_at=now, abstained=True)
    site.incidents.diagnosed(incident_id, later, incident.proposal, "diagnosis:2")
    return incident_id


def test_an_incident_fits_two_screens(page: Page, site: Site, show: Show, tmp_path: Path) -> None:
    """A row for each service and kind, no details, and lines that open the others; with a plot, in both themes."""
    show(f"/incidents/{many(site, 'wharf')}?tab=findings")
    findings = page.locator(".card", has=page.get_by_role("heading", name="Findings"))
    expect(findings.locator("tbody").first.locator("tr")).to_have_count(2)
    expect(findings.get_by_text("8 more of latency on wharf")).to_be_visible()
    expect(findings.get_by_text("heap space (space 3)")).to_be_hidden()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", theme)
        page.screenshot(path=tmp_path / f"incident-{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST
    folded = findings.get_by_text("heap space (space 3)")
    for _ in range(20):  # a press that falls into a refresh of the page opens what is replaced in this moment
        findings.get_by_text("12 details of internal metrics").click()
        page.wait_for_timeout(500)
        if folded.is_visible():
            break
    expect(folded).to_be_visible()


def test_a_ticket_is_listed_below_the_pages_and_filtered_by_the_address(
    page: Page, site: Site, show: Show, tmp_path: Path
) -> None:
    """It asks nobody to acknowledge it in a hurry."""
    leak = replace(
        slow_finding("archive", 900.0),
        severity="ticket",
        key="archive:leak",
        summary="archive: used memory reaches its limit of 512 MB in about 5 h",
        onset=datetime.now(UTC) - timedelta(minutes=4),
    )
    opened = [finding for one in site.incidents.list("open") for finding in one.findings]
    site.incidents.observe([*opened, leak])
    show("/")
    expect(page.locator(".open-incident").last).to_contain_text("archive: used memory reaches its limit")
    page.screenshot(path=tmp_path / "overview.png", full_page=True)
    show("/incidents?severity=ticket")
    expect(page.locator("#live tbody tr")).to_have_count(1)
    expect(page.locator("#live")).to_contain_text("A ticket pages nobody")
    show("/incidents?severity=page")
    expect(page.locator("#live")).not_to_contain_text("archive")
