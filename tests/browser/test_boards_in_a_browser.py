"""Boards in a browser: made from a chart by clicks alone, reordered and emptied there, and fit for a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bench.own_roles import loader_of
from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
POINTS = """
INSERT INTO otel.otel_metrics_gauge (TimeUnix, ServiceName, MetricName, MetricUnit, Value)
SELECT now64(9) - 30 * number, arrayJoin(['web', 'payments']), 'shown.memory', 'By', 3e8 + 1e8 * sin(number / 9)
FROM numbers(60)
"""
LOG_LINES = """
INSERT INTO otel.otel_logs (Timestamp, ServiceName, SeverityNumber, SeverityText, Body)
SELECT now64(9) - 20 * number, 'payments', 13 + 4 * (number % 2), ['WARN', 'ERROR'][1 + number % 2],
    'the bank has not answered within 600 ms, attempt ' || toString(number) FROM numbers(80)
"""
Show = Callable[[str], None]


def test_a_board_is_made_from_what_pages_show_with_clicks(
    page: Page, site: Site, signed_in: None, tmp_path: Path
) -> None:
    """Traces and log lines of one service become a board; its panels are moved and removed; the file follows."""
    page.goto(f"{site.url}/traces?service=payments&status=failed")
    page.get_by_role("button", name="Add to board").click()
    dialog = page.get_by_role("dialog")
    title = dialog.get_by_label("Title of the panel")
    expect(title).to_have_value("Traces of payments")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Give the new board a title.")).to_be_visible()
    dialog.get_by_label("Title of a new board").fill("Payments & co")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden()
    path = site.config.boards_dir / "payments-co.yaml"
    assert "status: failed" in path.read_text()
    page.goto(f"{site.url}/logs?service=quay&least=warn")
    page.get_by_role("button", name="Add to board").click()
    expect(dialog.get_by_label("Board", exact=True)).to_have_value("Payments & co")
    dialog.get_by_label("Title of the panel").fill("Warnings of quay")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("v")
    page.wait_for_url("**/boards")
    expect(page.locator("#live").get_by_role("heading", name="Boards", exact=True)).to_be_attached()
    page.locator("#live").get_by_role("link", name="Payments & co").click()
    page.wait_for_url("**/boards/payments-co?range=1h")
    panels = page.locator(".board-panel")
    expect(panels).to_have_count(2)
    expect(panels.first).to_contain_text("failed")
    expect(panels.last).to_contain_text("No line in this time range")
    page.get_by_role("link", name="Change", exact=True).click()
    panels.last.get_by_role("button", name="Earlier").click()
    expect(panels.first).to_contain_text("Warnings of quay")
    panels.first.get_by_role("button", name="Remove").click()
    expect(panels).to_have_count(1)
    assert "Warnings of quay" not in path.read_text()
    panels.first.get_by_role("link", name="Traces of payments").click()
    page.wait_for_url("**/traces?range=1h&service=payments&status=failed")


def test_a_file_edited_by_hand_shows_on_the_open_page(page: Page, site: Site, show: Show) -> None:
    """A mistake too, with its line; the page stays open meanwhile."""
    site.config.boards_dir.mkdir(exist_ok=True)
    path = site.config.boards_dir / "by-hand.yaml"
    path.write_text("title: By hand\npanels:\n  - {kind: text, title: One, text: first words}\n")
    show("/boards/by-hand")
    expect(page.locator(".board-panel")).to_contain_text("first words")
    path.write_text("title: By hand\npanels:\n  - {kind: text, title: One, text: second words}\n")
    expect(page.locator(".board-panel")).to_contain_text("second words")
    path.write_text("title: By hand\npanles: []\n")
    expect(page.locator("#live")).to_contain_text("by-hand.yaml:2: panles")
    show("/boards")
    expect(page.locator("#live")).to_contain_text("Files that are not shown")
    path.unlink()


def test_a_reader_without_a_session_changes_no_board(page: Page, site: Site, show: Show) -> None:
    """They see all of it; a press is refused, and the file stays."""
    site.config.boards_dir.mkdir(exist_ok=True)
    path = site.config.boards_dir / "to-read.yaml"
    text = "title: To read\npanels:\n  - {kind: text, title: One, text: words}\n"
    path.write_text(text)
    show("/boards/to-read?edit=on")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    show("/logs?query=x")
    page.get_by_role("button", name="Add to board").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    assert path.read_text() == text
    path.unlink()


def test_a_board_fits_every_screen_in_both_themes(page: Page, site: Site, show: Show, tmp_path: Path) -> None:
    """No page is wider than its screen. Looked at."""
    site.config.boards_dir.mkdir(exist_ok=True)
    path = site.config.boards_dir / "screens.yaml"
    store = loader_of(site.config)
    for statement in (POINTS, LOG_LINES):
        store.run(statement, b"")
    path.write_text(
        """\
title: Checkout and payments
description: What the people who own payments look at first.
panels:
  - {kind: text, title: Read this first, width: full, text: "Payments pages Ana.\\nRoll back by its runbook."}
  - {kind: traces, title: Failed requests of payments, service: payments, status: failed}
  - {kind: metrics, title: Memory by service, metric: shown.memory, by: service}
  - {kind: logs, title: Warnings, least: warn, width: third}
  - {kind: slo, objective: unknown, width: third}
  - {kind: metrics, metric: no.such.metric, width: third}
"""
    )
    for address in ("/boards/screens", "/boards/screens?edit=on", "/boards"):
        for width in (360, 1024, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                show(address)
                page.wait_for_timeout(300)
                name = address.strip("/").replace("/", "-").replace("?", "-")
                page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    path.unlink()
