"""A postmortem is written, reviewed and searched on the dashboard by the keyboard, in both themes, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from alerting.incidents.commands import Incidents
from alerting.postmortems.actions import Actions
from alerting.postmortems.editing import Postmortems
from alerting.postmortems.impact import unmeasured
from alerting.postmortems.rendering import to_markdown
from tests.browser.conftest import Site, open_incident
from watchkeeper.clock import SystemClock
from watchkeeper.problems import Problems
from watchkeeper.roles.impact import measure_impacts
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: web-works, displayName: Web works}
spec:
  service: web
  budgetingMethod: Occurrences
  timeWindow: [{duration: 1d, isRolling: true}]
  indicator:
    metadata: {name: requests-that-succeed}
    spec:
      ratioMetric:
        good: {metricSource: {type: watchkeeper, spec: {service: web, signal: successes}}}
        total: {metricSource: {type: watchkeeper, spec: {service: web, signal: calls}}}
  objectives: [{target: 0.95}]
"""
BEN = Actor(name="Ben Okoro", via="cli")


@pytest.fixture
def resolved(site: Site) -> str:
    """A page of another service that somebody resolved."""
    incident_id = open_incident(site.incidents, "warehouse")
    site.incidents.resolve(incident_id, BEN, "r")
    return incident_id


def postmortems(site: Site) -> Postmortems:
    clock = SystemClock()
    return Postmortems(site.database, clock, Incidents(site.database, clock, site.config.oncall), site.config.oncall)


@pytest.mark.usefixtures("signed_in")
def test_a_postmortem_is_written_on_the_page(
    page: Page, site: Site, show: Callable[[str], None], resolved: str, tmp_path: Path
) -> None:
    """Edited while somebody else edits, completed, marked, submitted; what was typed is never lost."""
    documents = postmortems(site)
    show(f"/incidents/{resolved}?tab=postmortem")
    card = page.locator("section.card", has=page.get_by_role("heading", name="Postmortem", exact=True))
    card.get_by_role("button", name="Edit").press("Enter")
    dialog = page.get_by_role("dialog")
    summary = dialog.get_by_label("Summary")
    summary.fill("Orders failed for five minutes.")
    dialog.get_by_label("Yes", exact=True).check()
    seen = documents.get(resolved).version
    documents.edit(resolved, BEN, "of Ben", seen, {"summary": "of Ben <b>x</b>", "went_well": "the runbook"})
    dialog.get_by_role("button", name="Save").press("Enter")
    expect(dialog).to_contain_text("Ben Okoro changed Summary")
    expect(dialog).to_contain_text("of Ben <b>x</b>")
    expect(summary).to_have_value("Orders failed for five minutes.")
    page.screenshot(path=tmp_path / "conflict.png")
    dialog.get_by_role("button", name="Save").press("Enter")
    expect(dialog).to_be_hidden()
    document = documents.get(resolved).document
    assert (document.summary, document.went_well) == ("Orders failed for five minutes.", "the runbook")
    assert document.warranted == "yes"
    show(f"/postmortems/{resolved}")
    expect(page.locator("#live")).to_contain_text("Orders failed for five minutes.")
    page.get_by_role("button", name="Mark as important").first.press("Enter")
    expect(page.get_by_role("button", name="No longer important").first).to_be_visible()
    page.get_by_role("button", name="Add one").press("Enter")
    dialog.get_by_label("What somebody does").fill("Alert on lock waits")
    dialog.get_by_label("Owner").fill("ana")
    dialog.get_by_label("Due date").fill("2026-01-02")
    dialog.get_by_role("button", name="Add").press("Enter")
    expect(page.locator("#live")).to_contain_text("2026-01-02, overdue")
    page.get_by_role("button", name="Add a line").press("Enter")
    dialog.get_by_label("When (UTC)").fill("2026-03-01T02:55:00Z")
    dialog.get_by_label("What happened").fill("a customer called")
    dialog.get_by_role("button", name="Add").press("Enter")
    expect(page.locator("#live")).to_contain_text("a customer called")
    page.get_by_role("button", name="Submit for review").press("Enter")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    _pictures(page, tmp_path, "postmortem")
    show("/postmortems")
    page.get_by_placeholder("Search postmortems").fill("five minutes")
    page.get_by_placeholder("Search postmortems").press("Enter")
    page.wait_for_url("**/postmortems?q=five*")
    page.wait_for_selector("#live h1", state="attached")
    expect(page.locator("#live")).to_contain_text(resolved)
    box = page.get_by_placeholder("Search postmortems").bounding_box()
    assert box is not None
    assert box["width"] > 200
    page.get_by_role("button", name="Done", exact=True).first.press("Enter")
    expect(page.locator("#live")).to_contain_text("No action item is open")
    assert not Actions(site.database, SystemClock(), site.config.oncall).list()
    _pictures(page, tmp_path, "postmortems")
    show(f"/incidents/{resolved}?tab=updates")
    page.get_by_role("button", name="Write an update").press("Enter")
    dialog.get_by_label("What its readers need to know").fill("We look into it.")
    dialog.get_by_role("button", name="Write", exact=True).press("Enter")
    expect(page.locator("#live")).to_contain_text("We look into it.")
    _pictures(page, tmp_path, "incident")


@pytest.mark.usefixtures("signed_in")
def test_the_editor_asks_for_what_the_severity_needs(
    page: Page, site: Site, show: Callable[[str], None], tmp_path: Path
) -> None:
    """SEV1 marks what must be filled in and waits for two reviewers; SEV4 is short, and its author publishes it."""
    documents = postmortems(site)
    ids = {}
    for level, service in (("SEV1", "loading-bay"), ("SEV4", "label-printer")):
        ids[level] = open_incident(site.incidents, service)
        site.incidents.set_severity(ids[level], BEN, level, "so it is", "s")  # type: ignore[arg-type]
        site.incidents.resolve(ids[level], BEN, "r")
        documents.begin(ids[level])
    dialog = page.get_by_role("dialog")
    show(f"/postmortems/{ids['SEV1']}")
    expect(page.get_by_role("heading", name="Impact needed to publish")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).press("Enter")
    expect(dialog.get_by_text("Impact *")).to_be_visible()
    expect(dialog.get_by_text("Signals missed", exact=True)).to_be_visible()
    page.screenshot(path=tmp_path / "sev1.png")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Submit for review").press("Enter")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    _pictures(page, tmp_path, "sev1")
    show(f"/postmortems/{ids['SEV4']}")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).press("Enter")
    expect(dialog.get_by_text("Summary *")).to_be_visible()
    expect(dialog.get_by_text("Signals missed", exact=True)).to_be_hidden()
    page.screenshot(path=tmp_path / "sev4.png")


def test_the_impact_is_measured_from_the_store(site: Site, tmp_path: Path) -> None:
    """A third of the requests of payments failed, and that much of its error budget was spent: once, by the machine."""
    objective = tmp_path / "slo.yaml"
    objective.write_text(SLO)
    now = datetime.now(UTC)
    incident_id = open_incident(site.incidents, "web")
    site.incidents.resolve(incident_id, BEN, "r")
    documents = postmortems(site)
    documents.edit(incident_id, BEN, "e", 1, {"first_bad_at": site.fails_since})
    config = site.config.model_copy(update={"slo": (objective,)})
    telemetry, problems = Telemetry.connect(site.config), Problems(None)
    waiting = [one.incident_id for one in unmeasured(site.database, now, limit=100)]
    assert incident_id not in waiting  # its telemetry may still be on its way
    later = now + timedelta(minutes=3)
    while measure_impacts(config, telemetry, site.database, problems, later):
        pass  # a few each round
    measured = documents.get(incident_id).document.measured
    assert measured is not None
    assert measured.failed / measured.requests == pytest.approx(1 / 3, abs=0.05)
    ((name, spent),) = measured.budgets
    assert name == "web-works"
    assert spent == pytest.approx(measured.failed / (0.05 * 4800), rel=0.1)
    assert documents.history(incident_id)[-1].actor.name == "Watchkeeper"
    assert "of the error budget was spent" in to_markdown(documents.report(incident_id))


def _pictures(page: Page, folder: Path, name: str) -> None:
    """In both themes, wide and narrow; nothing may be wider than the screen."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (1600, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})
