"""Scheduled experiments that wait for approval, on the page Chaos: approved, refused and postponed by buttons."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chaos.schedules.announcing import Announcer
from chaos.schedules.rows import DueRuns
from chaos.schedules.schedule import Schedule
from chaos.toolkit.document import read_experiment
from tests.browser.conftest import Site
from watchkeeper.problems import Problems
from watchkeeper.state.audit import audit_trail

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
RULE = {"cron": "0 0 1 1 *", "approval": {"by": ["ana"], "stands_hours": 4}}


def ask(site: Site, name: str) -> datetime:
    """A run in an hour for which people were asked, as the watch role does. Returns its time."""
    path = site.experiments / f"{name}.json"
    fault = {"fault": "latency", "service": "payments", "seconds": 30}
    provider = {"type": "python", "module": "chaos.toolkit.actions", "func": "inject", "arguments": fault}
    content = {
        "title": f"Orders are taken while {name} is slow",
        "description": "d",
        "method": [{"type": "action", "name": "payments is slow", "provider": provider}],
        "rollbacks": [],
        "extensions": [{"name": "watchkeeper", "schedule": RULE}],
    }
    path.write_text(json.dumps(content))
    rule = read_experiment(path).extension.schedule
    assert rule is not None
    assert rule.approval is not None
    runs, now = DueRuns(site.database), datetime.now(UTC)
    due_at = now.replace(microsecond=0) + timedelta(hours=1)
    runs.add(name, due_at, "waiting", now)
    run = runs.get(name, due_at)
    assert run is not None
    asks = Announcer(runs, None, Problems(None), names={}, radius=lambda _: "payments; callers: orders, web")
    asks.ask(run, Schedule(id=name, file=path, rule=rule), rule.approval, now)
    return due_at


def state(site: Site, name: str) -> list[tuple[str, str]]:
    return [(run.state, run.detail) for run in DueRuns(site.database).history() if run.schedule == name]


def test_without_a_session_nobody_decides(page: Page, site: Site, show: Callable[[str], None]) -> None:
    """The page shows what waits; a press explains how to sign in."""
    ask(site, "ledger-slow")
    show("/chaos")
    card = page.locator(".proposal", has_text="ledger-slow")
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    assert DueRuns(site.database).approvals("ledger-slow") == ()


def test_somebody_approves_and_then_refuses(page: Page, site: Site, signed_in: None, tmp_path: Path) -> None:
    """What, on what, when, how long: then the press counts, once, and is audited. Looked at in both themes."""
    ask(site, "cart-slow")
    page.goto(f"{site.url}/chaos")
    card = page.locator(".proposal", has_text="cart-slow")
    for words in (
        "Orders are taken while cart-slow is slow",
        "payments; callers: orders, web",
        "latency in payments for 30 s",
        "0 of 1",
    ):
        expect(card).to_contain_text(words)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=tmp_path / f"approval-{scheme}.png")
    card.get_by_role("button", name="Approve").click()
    expect(card).to_contain_text("Approved, 1 of 1 (Ana Sousa): begins at its time")
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("you approved it already")).to_be_visible()
    card.get_by_role("button", name="Refuse").click()
    expect(card).to_have_count(0)
    assert state(site, "cart-slow") == [("refused", "Ana Sousa refused")]
    trail = [(one.action, one.actor.name) for one in audit_trail(site.database) if one.subject == "cart-slow"]
    assert sorted(trail) == [("experiment.approve", "Ana Sousa"), ("experiment.refuse", "Ana Sousa")]


def test_somebody_postpones_to_a_time_of_their_own_zone(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """The picker shows the run's time in the browser's zone; what is not possible is said and changes nothing."""
    due_at = ask(site, "web-slow")
    page.goto(f"{site.url}/chaos")
    card = page.locator(".proposal", has_text="web-slow")
    card.get_by_role("button", name="Postpone").click()
    dialog = page.get_by_role("dialog", name="Postpone the experiment")
    tokyo = due_at + timedelta(hours=9)
    expect(dialog.locator("#postpone-at")).to_contain_text(f"{tokyo:%Y-%m-%d %H:%M}")
    page.wait_for_timeout(400)
    page.screenshot(path=tmp_path / "postpone.png")
    dialog.get_by_role("button", name="Postpone").click()
    expect(page.get_by_text("it is due at that time already")).to_be_visible()
    assert state(site, "web-slow") == [("waiting", "")]
