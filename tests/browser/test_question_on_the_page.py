"""A running runbook's question on the incident's page: answered by a button, once, and asked again where it says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, open_incident
from watchkeeper.state.audit import audit_trail
from watchkeeper.vocabulary import Actor, Question

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
ANA = Actor(name="Ana Sousa", via="cli")


def asking(site: Site, service: str) -> tuple[str, Question]:
    """An incident whose runbook runs, and asks."""
    incident_id = open_incident(site.incidents, service)
    proposal = site.incidents.get(incident_id).proposal
    assert proposal is not None
    site.incidents.approve(incident_id, ANA, "a", proposal.id)
    site.incidents.run_started(incident_id, "s", run=f"{incident_id}-run-1")
    question = Question(
        run=f"{incident_id}-run-1",
        step=1,
        asked=1,
        text="Is the nightly batch over? Without it the stock is counted twice.",
        choices=("yes", "no", "skip-the-count"),
        confirm=("no",),
        until=datetime.now(UTC) + timedelta(minutes=20),
    )
    assert site.incidents.run_asked(incident_id, "q", question=question).changed
    return incident_id, question


def test_without_a_session_nobody_answers(page: Page, site: Site, show: Callable[[str], None]) -> None:
    """The page shows the question; a press explains how to sign in."""
    incident_id, _ = asking(site, "stock")
    show(f"/incidents/{incident_id}")
    page.get_by_role("button", name="yes", exact=True).click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    assert site.incidents.get(incident_id).questions[0].is_open


def test_an_answer_that_is_asked_about_again(page: Page, site: Site, signed_in: None, tmp_path: Path) -> None:
    """Cancel keeps it open; the second press answers, is audited, and the card goes away. Looked at in both themes."""
    incident_id, question = asking(site, "depot")
    page.goto(f"{site.url}/incidents/{incident_id}")
    card = page.locator(".proposal", has_text="The runbook asks")
    expect(card).to_contain_text("Without it the stock is counted twice")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / f"question-{scheme}.png")
    card.get_by_role("button", name="no…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your answer: no")
    page.screenshot(path=tmp_path / "question-dialog.png")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert site.incidents.get(incident_id).questions[0].is_open
    card.get_by_role("button", name="no…").click()
    page.get_by_role("dialog").get_by_role("button", name="Answer", exact=True).click()
    expect(card).to_have_count(0)
    expect(page.locator(".timeline")).to_contain_text("Ana Sousa answered no to: Is the nightly batch over?")
    audited = [(one.action, one.subject, one.actor.name) for one in audit_trail(site.database)]
    assert ("runbook.answer", question.run, "Ana Sousa") in audited


def test_a_button_of_an_older_page_is_refused(page: Page, site: Site, signed_in: None) -> None:
    """Somebody else was first: the presser reads who, and what they answered."""
    incident_id, question = asking(site, "silo")
    page.goto(f"{site.url}/incidents/{incident_id}")
    button = page.get_by_role("button", name="yes", exact=True)
    expect(button).to_be_visible()
    site.incidents.answer(incident_id, Actor(name="Ben", via="slack"), "b", question.id, "skip-the-count")
    button.click()
    expect(page.get_by_text("Ben answered skip-the-count").first).to_be_visible()
    assert site.incidents.get(incident_id).questions[0].answer == "skip-the-count"
