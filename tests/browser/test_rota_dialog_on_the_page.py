"""People, schedules and policies are made, changed and removed on the page On call."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from alerting.oncall.applying import bring_into_force, plan_edit, plan_edits
from alerting.oncall.ownership import KINDS
from alerting.oncall.versions import newest, record_version
from tests.browser.conftest import Site
from watchkeeper.vocabulary import Actor

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

# The library's own header of a dialog is a banner beside the page's.
RULES = {"rules": {"landmark-no-duplicate-banner": {"enabled": False}}}


def test_a_person_is_made_and_a_second_editor_sees_what_changed(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """A preview before, a refusal with its reason, and whose change came first."""
    ben = Actor(name="Ben Okoro", via="api")
    record_version(site.database, site.config.oncall, datetime.now(UTC), ben)
    page.goto(f"{site.url}/oncall")
    expect(page.get_by_text("locked").first).to_be_visible()
    page.get_by_role("button", name="Add a person").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id").fill("eve")
    dialog.get_by_label("Name").fill("Eve Li")
    dialog.get_by_label("Time zone").fill("Asia/Tokio")
    dialog.get_by_label("Name").focus()
    expect(dialog.get_by_text("did you mean Asia/Tokyo?")).to_be_visible()
    dialog.get_by_label("Time zone").fill("Asia/Tokyo")
    dialog.get_by_label("slack").fill("UEVE")
    dialog.get_by_role("button", name="Add a rule").click()
    dialog.get_by_role("button", name="Remove rule 1").click()
    expect(dialog.get_by_text("lines of its YAML")).to_be_visible()
    look(page, tmp_path, "person")
    plan = plan_edit(site.database, site.config, "teams", "money", ["pay-*"], ben)
    bring_into_force(site.database, plan, datetime.now(UTC), ben)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Ben Okoro changed the rota meanwhile")).to_be_visible()
    expect(dialog.get_by_text("team money")).to_be_visible()
    look(page, tmp_path, "meanwhile")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    version = newest(site.database)
    assert version is not None
    made = version.oncall.person("eve")
    assert made is not None
    assert (made.name, made.timezone, made.addresses) == ("Eve Li", "Asia/Tokyo", {"slack": "UEVE"})
    assert version.owners.of("people", "eve") == "Ana Sousa (dashboard)"
    page.get_by_role("button", name="Edit the person eve").click()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    question = dialog.get_by_text("Press Remove again to remove the person.")
    expect(question).to_be_visible()
    dialog.get_by_label("Name").fill("Eve Lee")
    dialog.get_by_label("Time zone").focus()
    expect(question).to_be_hidden()  # what is shown is another change: a removal is asked for anew
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(question).to_be_visible()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(dialog).to_be_hidden()
    after = newest(site.database)
    assert after is not None
    assert after.oncall.person("eve") is None
    page.locator(".rota-kind").last.scroll_into_view_if_needed()
    look(page, tmp_path, "page")
    site_as_before(site, ben)


def test_a_schedule_is_made_as_a_form_and_as_yaml(page: Page, site: Site, signed_in: None, tmp_path: Path) -> None:
    """The next two weeks are drawn; the same text is both; a mistake is told with its line."""
    page.goto(f"{site.url}/oncall")
    page.get_by_role("button", name="Add a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id").fill("night")
    dialog.get_by_role("textbox", name="People, in the order of their turns").click()
    for name in ("Ben Okoro", "Ana Sousa"):
        page.get_by_role("option", name=name).click()
    dialog.get_by_label("Each turn lasts").fill("3d")
    dialog.get_by_label("Hours of the day").fill("22:00-08:00")
    dialog.get_by_label("First handoff").focus()
    expect(dialog.get_by_label("The next two weeks of night as they would be")).to_be_visible()
    expect(dialog.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    look(page, tmp_path, "schedule")
    dialog.get_by_text("YAML", exact=True).click()
    text = dialog.get_by_label("YAML, as in the file")
    expect(text).to_have_value(re.compile("turn_hours: 72"))
    text.fill("id: night\nlayers:\n  - people: [ben, nobody]\n")
    text.blur()
    expect(dialog.get_by_text("line 3: layers.1.people.2: names 'nobody'")).to_be_visible()
    look(page, tmp_path, "yaml")
    text.fill("id: night\nlayers:\n  - people: [ben, ana]\n    hours: 22:00-08:00\n")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    version = newest(site.database)
    assert version is not None
    assert version.oncall.schedules[-1].layers[0].people == ("ben", "ana")
    page.get_by_role("button", name="Add a policy").click()
    dialog.get_by_label("Id").fill("pay")
    dialog.get_by_role("button", name="Add a step").click()
    expect(dialog.get_by_text("Step 2")).to_be_visible()
    look(page, tmp_path, "policy")
    dialog.get_by_role("button", name="Cancel").click()
    site_as_before(site, Actor(name="Ben Okoro", via="api"))


def look(page: Page, folder: Path, name: str) -> None:
    """Axe's rules, and pictures for people, in both themes, on a wide screen and on a phone."""
    part = None if name == "page" else '[role="dialog"]'
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (1600, 1024, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)  # plots draw themselves
            page.screenshot(path=folder / f"{name}-{scheme}-{width}.png")
            found += [
                f"{name}, {scheme}, {width}: {each['id']} {each['nodes'][0]['target']}"
                f" {each['nodes'][0]['failureSummary'][:200]}"
                for each in Axe().run(page, context=part, options=RULES).response["violations"]
            ]
    page.set_viewport_size({"width": 1280, "height": 900})
    assert not found, "\n".join(found)


def site_as_before(site: Site, actor: Actor) -> None:
    """Other tests read the same site: nothing is left that the file does not own."""
    version = newest(site.database)
    assert version is not None
    made = [key.split("/", 1) for key in version.owners.others]
    edits = [(kind, name, None) for kind in reversed(KINDS) for of, name in made if of == kind]
    bring_into_force(site.database, plan_edits(site.database, site.config, edits, actor), datetime.now(UTC), actor)


def test_a_reader_without_a_session_opens_nothing(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/oncall")
    page.get_by_role("button", name="Add a schedule").click()
    expect(page.get_by_text("This browser has no session")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
