"""`watchkeeper chaos coverage`, against a real shop and a state database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from chaos.fault import services_for
from chaos.registry import faults
from chaos.shop.topology import PLANS
from tests.front_door import front_door
from tests.running_shop import RunningShop

pytestmark = pytest.mark.xdist_group("shop")


def test_everything_that_the_target_offers_is_on_the_map(
    shop: RunningShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was tested: every cell is untested, the proposals differ, and what cannot be read is named."""
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    path = tmp_path / "watchkeeper.yaml"
    target = {"url": shop.control_url, "token_env": "SHOP_TOKEN"}
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": {"shop": target}}))
    command = front_door(monkeypatch, capsys)
    status, said, _ = command("chaos", "coverage", "--config", str(path), "--json")
    tree = json.loads(said)
    own = {plan.name for plan in PLANS if plan.may_break}
    offered = {(service, name) for name, fault in faults().items() for service in services_for(fault, shop.target)}
    assert status == 0
    assert {(cell["service"], cell["fault"]) for cell in tree["cells"]} == offered
    assert {service for service, _ in offered} == own
    assert {cell["state"] for cell in tree["cells"]} == {"untested"}
    assert len({one["cell"]["fault"] for one in tree["next"]}) == len(tree["next"]) == 3
    (gap,) = tree["gaps"]
    assert gap.startswith("who depends on whom is not known: ")
    status, said, _ = command("chaos", "coverage", "--config", str(path), "--next", "1")
    assert status == 0
    assert said.count("watchkeeper chaos run ") == 1
    assert {line.split()[0] for line in said.splitlines() if "·  " in line} >= own


def test_the_report_is_written_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Markdown, as a page, as JSON; a folder that is not there is one clear sentence."""
    path, page, text = tmp_path / "watchkeeper.yaml", tmp_path / "r.html", tmp_path / "r.md"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data")}))
    command = front_door(monkeypatch, capsys)
    own = ("chaos", "report", "--config", str(path))
    assert command(*own, "--html", str(page), "--markdown", str(text))[0] == 0
    assert page.read_text().startswith("<!doctype html>")
    printed = command(*own)[1]
    assert re.findall("^#.*", text.read_text(), re.MULTILINE) == re.findall("^#.*", printed, re.MULTILINE)
    assert "Nothing yet." in printed
    assert json.loads(command(*own, "--json")[1])["scorecard"]["experiments"] == 0
    status, _, error = command(*own, "--html", str(tmp_path / "none" / "r.html"))
    assert status == 1
    assert error.startswith(f"watchkeeper: the report cannot be written to {tmp_path / 'none' / 'r.html'}: ")


def test_without_a_target_the_map_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An installation that has nothing to break: no error, and why the map is empty."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data")}))
    status, said, _ = front_door(monkeypatch, capsys)("chaos", "coverage", "--config", str(path))
    assert status == 0
    assert "no target is configured" in said
    assert "Nothing was tested" in said
