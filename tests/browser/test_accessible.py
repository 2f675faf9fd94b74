"""Every page under axe's rules, in both themes, on a wide screen and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from dashboard.registry import read_pages
from tests.browser.investigated import Investigated, investigated

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("tasks")]
PATHS = sorted(page.path for page in read_pages().by_name.values() if not page.takes_argument)
MORE = (
    "/incidents/{incident}",
    "/incidents/{incident}?tab=evidence",
    "/incidents/{incident}?tab=findings",
    "/incidents/{incident}?tab=similar",
    "/logs?tab=templates",
    "/postmortems/{earlier}",
    "/ask?q=why+is+catalog+slow",
    "/services?service=web",
    "/services/web",
    "/services/web?tab=calls",
    "/services/web?tab=instances",
    "/slos/checkout",
    "/explore?metric=system.filesystem.utilization",
    "/traces?status=failed",
    "/boards/first",
    "/boards/first?edit=on",
    "/nowhere",
)
BOARD = """\
title: First look
panels:
  - {kind: metrics, metric: system.filesystem.utilization, by: host.name}
  - {kind: logs, title: Lines, width: third}
  - {kind: traces, status: failed, width: full}
  - {kind: slo, objective: checkout}
  - {kind: text, text: Roll back first.}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Investigated]:
    with investigated(tmp_path_factory.mktemp("accessible")) as running:
        boards = running.roles.config.boards_dir
        boards.mkdir()
        (boards / "first.yaml").write_text(BOARD)
        (boards / "broken.yaml").write_text("titel: A\n")
        yield running


@pytest.fixture(scope="module", params=["light", "dark"])
def reader(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.mark.parametrize("path", [*PATHS, *MORE])
def test_axe_finds_nothing(path: str, reader: Page, system: Investigated) -> None:
    """Names, roles, contrast, landmarks and the order of headings."""
    address = path.format(incident=system.incident_id, earlier=system.earlier_id)
    reader.set_viewport_size({"width": 1280, "height": 900})
    reader.goto(system.url + address)
    reader.wait_for_selector("#live h1", state="attached")
    reader.wait_for_timeout(500)  # plots and tables draw themselves
    found = _violations(reader)
    reader.set_viewport_size({"width": 360, "height": 740})
    reader.wait_for_timeout(300)
    found += [f"on a phone: {each}" for each in _violations(reader)]
    assert not found, "\n".join(found)


def _violations(page: Page) -> list[str]:
    """What axe found: its rule, how bad it is, and the places."""
    return [
        f"{each['id']} ({each['impact']}): {'; '.join(' '.join(node['target']) for node in each['nodes'][:4])}"
        f" {each['nodes'][0]['failureSummary'][:200]}"
        for each in Axe().run(page).response["violations"]
    ]
