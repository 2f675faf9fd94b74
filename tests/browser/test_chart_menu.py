"""A plot's menu gives its query, its numbers and its picture; a drag over a plot zooms all of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Download, Locator, Page, expect
from pyarrow import parquet

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
PLOT = '[id=\'{"plot":"%s"}\'] .js-plotly-plot'
RED = PLOT % "red"
AXIS = f"document.querySelector(`{RED}`)._fullLayout.xaxis"


def shown_values(page: Page, plot: str = RED) -> dict[str, list[float | None]]:
    """What the browser has drawn, by line."""
    lines: dict[str, list[float | None]] = page.eval_on_selector(
        plot, "drawn => Object.fromEntries(drawn.data.map(line => [line.name, Array.from(line.y)]))"
    )
    return lines


def shown_range(page: Page, plot: str = RED) -> list[str]:
    """The ends of the time axis as they are drawn, to the minute."""
    ends: list[str] = page.eval_on_selector(plot, "drawn => Array.from(drawn._fullLayout.xaxis.range)")
    return [end[:16] for end in ends]


def drag(page: Page, first: float, last: float, plot: str = RED) -> None:
    """Over a plot, from one share of its width to another."""
    field = page.locator(f"{plot} .nsewdrag").first
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * first, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * last, y, steps=5)
    page.mouse.up()


def saved(page: Page, pressed: Locator) -> Download:
    """What a press downloads."""
    with page.expect_download() as download:
        pressed.click()
    return download.value


def test_the_menu_gives_the_numbers_that_are_drawn(page: Page, show: Callable[[str], None], tmp_path: Path) -> None:
    """The query with its values, the same numbers as CSV and Parquet, a picture, and a link with absolute times."""
    show("/services/payments?range=1h")
    menu = page.locator(".charted .chart-menu").first
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    query = menu.get_by_role("region", name="Query")
    expect(query).to_contain_text("FROM red WHERE bucket >= toDateTime(1")
    expect(query).not_to_contain_text("{start")
    menu.get_by_role("link", name="Link with absolute times").click()
    page.wait_for_url("**/services/payments?from=*")
    expect(menu).not_to_have_attribute("open", "")
    menu.locator("summary").press("Enter")
    drawn = shown_values(page)

    download = saved(page, menu.get_by_role("link", name="CSV"))
    assert download.suggested_filename.startswith("watchkeeper-services-payments-red-20")
    download.save_as(tmp_path / "red.csv")
    with (tmp_path / "red.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["time"].endswith("Z")
    assert [float(row["requests (requests/s)"]) for row in rows] == drawn["requests"]
    p95 = [float(row["p95 (p50, p95 ms)"]) if row["p95 (p50, p95 ms)"] else None for row in rows]
    assert p95 == drawn["p95"]
    assert any(p95)

    saved(page, menu.get_by_role("link", name="Parquet")).save_as(tmp_path / "red.parquet")
    table = parquet.read_table(tmp_path / "red.parquet")
    assert table["failed"].to_pylist() == drawn["failed"]
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"

    saved(page, menu.get_by_role("link", name="SQL")).save_as(tmp_path / "red.sql")
    assert "FROM red WHERE" in (tmp_path / "red.sql").read_text()
    saved(page, menu.get_by_role("button", name="PNG")).save_as(tmp_path / "red.png")
    assert (tmp_path / "red.png").read_bytes().startswith(b"\x89PNG")

    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")


def test_a_question_in_the_search_is_asked(page: Page, show: Callable[[str], None]) -> None:
    """Enter opens the page Ask with it; a name is still opened by its name."""
    show("/")
    page.locator("#search").fill("why is payments slow?")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ask?q=why%20is%20payments%20slow%3F")
    expect(page.locator("#live input").first).to_have_value("why is payments slow?")
    expect(page.locator("#search")).to_have_value("")
    page.locator("#search").fill("payments")
    page.get_by_role("option", name="payments", exact=True).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**service=payments**")


def test_a_drag_zooms_every_plot_and_back_undoes_it(page: Page, show: Callable[[str], None]) -> None:
    """The address has the range; a double click and the browser's Back both return to what was before."""
    show("/services/payments?range=1h&tab=operations")
    page.wait_for_selector(RED)
    before = shown_range(page)
    drag(page, 0.5, 0.75)
    page.wait_for_url("**from=*to=*")
    expect(page.locator("#range")).not_to_have_value("Last 1h")
    zoomed = shown_range(page)
    assert zoomed[0] > before[0]
    assert zoomed[1] < before[1]
    page.wait_for_timeout(6000)  # a refresh comes and changes nothing
    assert shown_range(page) == zoomed
    page.go_back()
    page.wait_for_url("**range=1h**")
    expect(page.locator("#range")).to_have_value("Last 1h")
    page.wait_for_function(f"zoomed => {AXIS}.range[0].slice(0, 16) < zoomed", arg=zoomed[0])
    drag(page, 0.5, 0.75)
    page.wait_for_url("**from=*to=*")
    page.locator(f"{RED} .nsewdrag").first.dblclick()
    page.wait_for_url("**range=1h**")
    page.wait_for_function(f"zoomed => {AXIS}.range[0].slice(0, 16) < zoomed", arg=zoomed[0])
