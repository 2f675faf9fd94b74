"""One real shop for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.running_shop import RunningShop


@pytest.fixture
def config_file(tmp_path: Path, shop: RunningShop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of an installation whose target is the shop."""
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    target = {"url": shop.control_url, "token_env": "SHOP_TOKEN"}
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": {"shop": target}}))
    return path
