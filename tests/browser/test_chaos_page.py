"""The chaos page in a browser, over a real shop: an experiment is started, watched, stopped, and on record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.own_roles import OwnRoles
from chaos.journal import recorded
from chaos.shop.running import started_shop
from chaos.shop.topology import READY_FILE
from tests.waiting import until
from watchkeeper.config import Config
from watchkeeper.ports import free_port
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chaos page")]


@dataclass
class Breakable:
    """A web role whose configuration names a running shop as its target."""

    url: str
    token: str
    config: Config
    shop: Target


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breakable]:
    shop_dir, folder = tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("site")
    with started_shop(shop_dir) as shop, pytest.MonkeyPatch.context() as patch:
        ready = json.loads((shop_dir / READY_FILE).read_text())
        patch.setenv("SHOP_TOKEN", ready["token"])
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("own")))  # Stop ends the experiments that are noted there
        changes = {
            "web": {"port": free_port()},
            "slack": {"stand_in": {"enabled": False}},
            "oncall": {
                "people": [{"id": "ana", "name": "Ana Sousa", "addresses": {"slack": "UANA"}}],
                "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}], "fallback": "ana"}],
            },
            "targets": {"shop": {"url": ready["control"], "token_env": "SHOP_TOKEN"}},
        }
        with OwnRoles(folder, changes) as own:
            own.start("store", "web")
            url = f"http://127.0.0.1:{own.config.web.port}"
            yield Breakable(url=url, token=own.config.secret("commands"), config=own.config, shop=shop)


@pytest.fixture
def page(breakable: Breakable, browser: Browser) -> Iterator[Page]:
    """A fresh browser without a session; the test fails if the page complains on the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def truths(config: Config) -> list[tuple[str, str, bool | None]]:
    """Fault, service and effect of every experiment that the installation knows."""
    db = Database.open(config)
    with db.read() as connection:
        known = [(one.fault, one.service, one.took_effect) for one, _ in recorded(connection)]
    db.close()
    return known


def test_an_experiment_is_started_watched_and_stopped_from_the_page(page: Page, breakable: Breakable) -> None:
    """It runs in a process of its own; stopping reverts it; the record and the audit trail keep it."""
    page.goto(f"{breakable.url}/sign-in")
    page.fill("#token", breakable.token)
    page.select_option("#as", "ana")
    page.click("button")
    page.wait_for_selector("#live h1", state="attached")
    page.goto(f"{breakable.url}/chaos")
    expect(page.get_by_text("Test next")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^payments"))).to_contain_text("untested")

    page.get_by_role("button", name="Start an experiment").click()
    submit = page.get_by_role("button", name="Break it now")
    expect(submit).to_be_disabled()
    choice = page.get_by_role("textbox", name="Fault and service")
    choice.click()
    choice.fill("kill in shipping")
    page.get_by_role("option", name="kill in shipping").click()
    expect(page.locator("#experiment-plan")).to_contain_text("shipping")
    page.locator("#experiment-seconds").fill("200")
    expect(page.locator("#experiment-plan")).to_contain_text("200 s once its effect is proved")
    submit.click()
    expect(page.get_by_text("Starting kill in shipping")).to_be_visible()

    running = page.locator("section.card", has=page.get_by_role("heading", name="kill in shipping"))
    expect(running.get_by_text("running")).to_be_visible()
    expect(running.get_by_text("effect", exact=True)).to_be_visible()
    assert breakable.shop.status("shipping").state == "exited"
    assert ("kill", "shipping", True) in truths(breakable.config)

    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    until(lambda: breakable.shop.status("shipping").state == "running", what="the end of the fault")
    expect(running).to_have_count(0)
    page.get_by_role("link", name="kill in shipping").first.click()
    page.wait_for_url(re.compile("/chaos/[0-9a-f]{32}$"))
    expect(page.get_by_role("heading", name="Record")).to_be_visible()
    db = Database.open(breakable.config)
    trail = [(entry.action, entry.subject, entry.actor.name) for entry in audit_trail(db)]
    db.close()
    assert ("experiment.start", "kill in shipping", "Ana Sousa") in trail
    assert "experiment.stop" in {action for action, *_ in trail}


def test_a_reader_without_a_session_starts_nothing(page: Page, breakable: Breakable) -> None:
    """Reading is open here; breaking is not."""
    before = truths(breakable.config)
    page.goto(f"{breakable.url}/chaos")
    page.get_by_role("button", name="Start an experiment").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    assert truths(breakable.config) == before


def test_the_page_is_reached_by_its_key_and_fits_a_phone(page: Page, breakable: Breakable, tmp_path: Path) -> None:
    """`g x` opens it; nothing is wider than a narrow screen, in either theme."""
    page.goto(breakable.url)
    page.wait_for_selector("#live h1", state="attached")
    page.keyboard.press("g")
    page.keyboard.press("x")
    page.wait_for_url("**/chaos")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": 390, "height": 844})
        expect(page.get_by_role("heading", name="Coverage")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=tmp_path / f"{scheme}.png")
