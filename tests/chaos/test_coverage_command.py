"""`watchkeeper chaos coverage`, against a real shop and a state database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

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
    assert status == 0
    assert {(cell["service"], cell["fault"]) for cell in tree["cells"]} == {(s, f) for s in own for f in faults()}
    assert {cell["state"] for cell in tree["cells"]} == {"untested"}
    assert len({one["cell"]["fault"] for one in tree["next"]}) == len(tree["next"]) == 3
    (gap,) = tree["gaps"]
    assert gap.startswith("who depends on whom is not known: ")
    status, said, _ = command("chaos", "coverage", "--config", str(path), "--next", "1")
    assert status == 0
    assert said.count("watchkeeper chaos run ") == 1
    assert {line.split()[0] for line in said.splitlines() if "·  " in line} >= own


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
