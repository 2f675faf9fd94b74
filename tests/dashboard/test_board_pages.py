"""The pages of boards over a real store, and the commands: what is listed, checked and imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from plotly.io.json import to_json_plotly

from dashboard.drawing import drawing
from dashboard.example_site import BOARD, ExampleSite
from dashboard.page import PageRequest
from dashboard.registry import read_pages
from dashboard.rendering import rendered
from dashboard.urls import parse
from dashboard.viewer import viewer
from tests.front_door import Run, front_door
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database

TABLES = ("otel_logs", "otel_metrics", "otel_traces")
pytestmark = pytest.mark.xdist_group("board pages")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    site = ExampleSite.start(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


def shown(site: ExampleSite, address: str) -> str:
    """The page as it goes to the browser."""
    path, _, search = address.partition("?")
    view = parse(path, search)
    opened = read_pages().open(path)
    sources = site.with_much()
    reader = viewer({"scheme": "light", "zone": "UTC"}, sources.now())
    text = to_json_plotly(
        rendered(opened, PageRequest(sources=sources, view=view, viewer=reader, argument=opened.argument))
    )
    assert text is not None
    return json.dumps(json.loads(text))  # plotly writes slashes as codes


def test_each_panel_shows_what_its_page_shows_and_leads_there(site: ExampleSite) -> None:
    """Metrics, log lines, traces, an objective that is gone, and text; each with the page's time range."""
    text = shown(site, f"/boards/{BOARD}?range=3h")
    for path in ("/explore?range=3h&metric=", "/logs?range=3h&service=", "/traces?range=3h&service="):
        assert f'"href": "{path}' in text
    assert "Log lines over time: 1 error" in text
    assert "29 spans" in text
    assert "No objective is named" in text


def test_each_panel_has_the_menu_of_its_plot_with_its_own_query(site: ExampleSite) -> None:
    """Panels are read beside each other; none shows what another asked."""
    address = f"/boards/{BOARD}?range=3h"
    sources, view = site.with_much(), parse(f"/boards/{BOARD}", "?range=3h")
    reader = viewer({"scheme": "light", "zone": "UTC"}, sources.now())
    opened = read_pages().open(view.path)
    with drawing(view, sources.now()) as of:
        opened.page.render(PageRequest(sources=sources, view=view, viewer=reader, argument=opened.argument))
    tables = {name: {table for table in TABLES if any(table in sql for sql in plotted.queries)}
              for name, plotted in of.plots.items()}  # fmt: skip
    assert [name for name, asked in tables.items() if len(asked) != 1] == []
    assert set().union(*tables.values()) == set(TABLES)
    assert shown(site, address).count("Menu of this plot") == len(tables)


def test_a_metric_by_its_name_in_prometheus_is_found_in_the_store(site: ExampleSite) -> None:
    """The link leads to the metric under the name that the store has."""
    text = shown(site, f"/boards/{BOARD}")
    assert "/explore?metric=service-7&by=service-7%2C%20service" in text
    assert "service-7=service-7, service=service-7: now " in text


def test_the_list_is_searched_by_title_and_panel_and_names_broken_files(site: ExampleSite) -> None:
    """A broken file has its line."""
    assert f"/boards/{BOARD}?range=1h" in shown(site, "/boards")
    assert "broken.yaml:2:" in shown(site, "/boards")
    assert f"/boards/{BOARD}" in shown(site, "/boards?q=exported")
    assert "No board has these words" in shown(site, "/boards?q=nowhere")


def test_a_service_in_the_address_restricts_the_panels_that_name_none(site: ExampleSite) -> None:
    """And the page says so."""
    text = shown(site, f"/boards/{BOARD}?service=service-7")
    assert "Panels without a service of their own show service-7 alone" in text
    assert "/explore?service=service-7&metric=service-7" in text


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Commands over a folder of their own."""
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "boards": {"dir": "boards"}}))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(config))
    return front_door(monkeypatch, capsys)


def panel(expression: str, title: str) -> dict[str, Any]:
    target = {"refId": "A", "datasource": {"type": "prometheus", "uid": "p"}, "expr": expression}
    return {"type": "timeseries", "title": title, "targets": [target], "gridPos": {"w": 12, "h": 8, "x": 0, "y": 0}}


def test_a_dashboard_is_imported_with_a_list_and_an_audit_line(command: Run, tmp_path: Path) -> None:
    """In the folder of the configuration; the same name again is refused, and nothing is overwritten."""
    file = tmp_path / "shop.json"
    panels = [panel("sum(x)", "Whole"), panel("increase(x[1h])", "Part"), panel("a / b", "Nothing")]
    file.write_text(json.dumps({"title": "Shop", "schemaVersion": 40, "panels": panels}))
    status, out, _ = command("boards", "import", str(file), "--dry-run")
    assert (status, "nothing was written" in out, (tmp_path / "boards").exists()) == (0, True, False)
    status, out, _ = command("boards", "import", str(file), "--name", "shop", "--as", "Ana Sousa")
    lines = out.splitlines()
    assert lines[0] == "taken      Whole"
    assert lines[1] == "in part    Part"
    assert lines[2] == "             increase is shown as growth a second"
    assert "not taken  Nothing" in lines
    assert lines[-1] == f"1 taken, 1 in part, 1 not taken; written to {tmp_path / 'boards' / 'shop.yaml'}"
    with closing(Database.open(f"sqlite:///{tmp_path / 'data' / 'state.db'}")) as db:
        (entry,) = audit_trail(db)
    assert (entry.action, entry.actor.name, entry.subject) == ("board.create", "Ana Sousa", "shop")
    before = (tmp_path / "boards" / "shop.yaml").read_bytes()
    status, _, err = command("boards", "import", str(file), "--name", "shop")
    assert status != 0
    assert "exists already" in err
    assert (tmp_path / "boards" / "shop.yaml").read_bytes() == before
    assert command("boards", "check")[0] == 0
    status, out, _ = command("boards", "list")
    assert "/boards/shop" in out
    assert json.loads(command("boards", "list", "--json")[1])[0]["panels"] == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x00\xff", b'{"panels": [{}]}'])
def test_a_file_that_is_no_dashboard_is_refused_on_the_command_line(
    command: Run, tmp_path: Path, content: bytes
) -> None:
    """One line, no traceback, nothing written."""
    file = tmp_path / "x.json"
    file.write_bytes(content)
    status, _, err = command("boards", "import", str(file))
    assert status == 2
    assert err.startswith(f"watchkeeper: {file}: ")
    assert "Traceback" not in err
    assert not (tmp_path / "boards").exists()
    assert command("boards", "import", str(tmp_path / "gone.json"))[0] == 2


def test_check_names_every_mistake_and_list_shows_the_file(command: Run, tmp_path: Path) -> None:
    """With file, line and key, and exit status 2."""
    folder = tmp_path / "boards"
    folder.mkdir()
    assert "0 boards" in command("boards", "check")[1]
    assert "No board in" in command("boards", "list")[1]
    (folder / "a.yaml").write_text("title: A\npanels:\n  - kind: logs\n    x: 1\n  - kind: nothing\n")
    status, _, err = command("boards", "check")
    assert status == 2
    assert "a.yaml:4: panels.0.x" in err
    assert "a.yaml:5: panels.1.kind" in err
    assert "cannot be read" in command("boards", "list")[1]
    assert command("boards", "check", str(tmp_path / "nowhere"))[0] == 2
