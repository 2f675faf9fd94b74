"""What an experiment showed of resilience, read from a real store, on the page Chaos."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chaos.findings import catch_up, decide, stored_findings
from chaos.journal import ExperimentTruth, record_experiment
from tests.browser.conftest import Site
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_weaknesses_are_read_once_and_listed(
    page: Page, site: Site, show: Callable[[str], None], tmp_path: Path
) -> None:
    """While payments failed, web failed with it: kept with its proposal, and with who decided. Both themes."""
    now, began = datetime.now(UTC), site.fails_since
    truth = ExperimentTruth(
        id="1a2b3c4d5e6f708192a3b4c5d6e7f809", target="shop", fault="hang", service="payments", mechanism="hung",
        services=("payments",), began=began, ended=began + timedelta(seconds=120), took_effect=True, effect_at=began,
        release="0.1.0",
    )  # fmt: skip
    catch_up(site.database, Telemetry.connect(site.config), now)  # what other tests of this site experimented with
    record_experiment(site.database, truth)
    assert catch_up(site.database, Telemetry.connect(site.config), now) == 1
    assert catch_up(site.database, Telemetry.connect(site.config), now) == 0
    found = stored_findings(site.database)
    kept = {one.kind: one for one in found if (one.service, one.dependency) == ("web", "payments")}
    assert "no fallback" in kept
    other = next(one for kind, one in kept.items() if kind != "no fallback")
    decide(site.database, other.id, "accepted", Actor(name="Ana Sousa", via="cli"), "the bank is slow at times", now)
    show("/chaos")
    card = page.locator("section.card", has=page.get_by_role("heading", name="Resilience", exact=True))
    expect(card).to_contain_text("Let web answer without payments")
    expect(card).to_contain_text("web → payments")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / f"resilience-{scheme}.png", full_page=True)
    card.locator("summary").click()
    expect(card).to_contain_text("the bank is slow at times")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
