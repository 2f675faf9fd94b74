"""`watchkeeper runbook run` repairs a service of a real shop outside an incident, and refuses what it may not touch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.fault import do
from runbooks.runbook import BUILT_IN
from tests.running_shop import RunningShop
from watchkeeper.cli.runbook import app
from watchkeeper.errors import RunbookError, WatchkeeperError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database

pytestmark = pytest.mark.xdist_group("shop")

HARDER = """\
id: harder
title: Stop and start {service} by hand
why: w
mechanisms: [unknown]
steps:
  - notify: {text: "Restarting {service}."}
  - restart: {}
    id: first
  - toggle-flag: {flag: x, value: true}
blast_radius: b
undo: u
"""


@pytest.fixture
def config(shop: RunningShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    books = tmp_path / "books"
    shutil.copytree(BUILT_IN, books)
    (books / "harder.yaml").write_text(HARDER)
    (books / "policy.yaml").write_text("services: [cart]\n")
    path = tmp_path / "watchkeeper.yaml"
    target = f"{{kind: control-api, url: '{shop.control_url}', token_env: SHOP_TOKEN}}"
    path.write_text(f"data_dir: {tmp_path / 'data'}\nrunbooks: {{dir: {books}}}\ntargets: {{shop: {target}}}\n")
    return path


def runbook(config: Path, *arguments: str) -> None:
    """The command in this process: starting Python takes longer than all it does."""
    app([*arguments, "--config", str(config)], standalone_mode=False)


def test_a_runbook_runs_outside_an_incident(
    shop: RunningShop, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It starts what was killed, says each step, and stands in history and audit trail with who ran it."""
    before = shop.target.status("cart").instance
    os.kill(shop.host("cart").pid, 9)
    command = [sys.executable, "-m", "watchkeeper.cli.main", "runbook", "run", "start-service", "cart"]
    ran = subprocess.run([*command, "--yes", "--as", "Ana", "--config", config], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    now = shop.target.status("cart")
    assert (now.state, now.instance != before) == ("running", True)
    assert "cart runs" in ran.stdout
    runbook(config, "history", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["approved_by"], row["autonomous"], row["incident_id"]) == ("done", "Ana", False, "")
    db = Database.open(f"sqlite:///{config.parent / 'data' / 'state.db'}")
    assert [(entry.action, entry.actor.name, entry.subject) for entry in audit_trail(db)] == [
        ("runbook.run", "Ana", row["id"])
    ]
    db.close()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "restart-service", "payments", "--yes"), 1, "may not touch payments"),
        (("run", "restart-service", "nowhere", "--yes"), 1, "it has no service nowhere"),
        (("run", "nothing", "cart", "--yes"), 3, "no runbook nothing; there are"),
        (("run", "restart-service", "cart"), 2, "--yes is missing"),
        (("run", "harder", "cart", "--yes"), 1, "the target cannot do this to cart: flag"),
        (("plan", "restart-service", "cart", "--mechanism", "slow"), 2, "--mechanism: slow is none of"),
        (("history", "run-none"), 3, "there is no run run-none"),
        (("answer", "run-none", "yes"), 3, "there is no run"),
        (("resume",), 4, "nothing is stopped"),
        (("export", "nothing"), 3, "no runbook nothing"),
    ],
)
def test_what_it_refuses_is_one_clear_line(
    shop: RunningShop, config: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """With its exit status, and nothing was touched."""
    before = shop.target.status("cart").instance
    with pytest.raises(WatchkeeperError) as refused:
        runbook(config, *arguments)
    assert refused.value.exit_code == code
    assert says in refused.value.message
    assert "\n" not in refused.value.message
    assert shop.target.status("cart").instance == before


def test_a_stop_keeps_it_from_running(shop: RunningShop, config: Path) -> None:
    """Until somebody resumes."""
    runbook(config, "stop", "--reason", "moving house", "--as", "Ben")
    with pytest.raises(RunbookError, match=r"everything is stopped by Ben \(moving house\)"):
        runbook(config, "run", "restart-service", "cart", "--yes")
    runbook(config, "resume")
    do(shop.target, "cart", "start")
    before = shop.target.status("cart").instance
    runbook(config, "run", "restart-service", "cart", "--yes")
    assert shop.target.status("cart").instance != before
