"""`chaos run --next`: what the map proposes, in order. `chaos run NAME`: an experiment of the configured folder."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.incidents.commands import Incidents
from chaos.commands.next_run import _settled
from chaos.journal import recorded
from chaos.schedules.schedule import schedules
from chaos.surroundings import CONFIG_ENV, GAME_DAY_ENV, SHOP_ENV
from tests.front_door import front_door
from tests.running_shop import RunningShop
from watchkeeper.clock import SystemClock
from watchkeeper.config import OnCallConfig, load
from watchkeeper.errors import ChaosError, ConfigError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding

pytestmark = pytest.mark.xdist_group("shop")


@pytest.fixture
def config(shop: RunningShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what else runs on this machine is no affair of these tests
    path = tmp_path / "watchkeeper.yaml"
    target = {"url": shop.control_url, "token_env": "SHOP_TOKEN"}
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": {"shop": target}}))
    return path


def test_the_plan_is_printed_and_nothing_runs_unasked(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can be asked, --yes is missing; a wrong count and a fault beside it are one sentence."""
    run = front_door(monkeypatch, capsys)
    status, out, err = run("chaos", "run", "--next", "2", "--config", str(config))
    assert (status, "--yes is missing" in err) == (2, True)
    lines = out.splitlines()
    assert lines[0] == "Experiments, one after the other:"
    assert [line.split(".")[0].strip() for line in lines if line.startswith("  ") and line[2].isdigit()] == ["1", "2"]
    assert sum("may harm: " in line for line in lines) == 2
    for words, says in (
        (("--next", "0"), "--next takes a number from 1 to 20, not 0"),
        (("--next", "latency"), "--next takes how many to run"),
        (("--next", "kill", "cart"), "--next takes how many to run"),
        ((), "name an experiment"),
    ):
        status, _, err = run("chaos", "run", *words, "--config", str(config))
        assert (status, says in err) == (2, True)
    assert "--next needs --config" in run("chaos", "run", "--next")[2]


@pytest.mark.slow
def test_what_is_proposed_runs_in_order(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two experiments against a real shop, each recorded; the last line says how many completed."""
    run = front_door(monkeypatch, capsys)
    status, out, err = run("chaos", "run", "--next", "2", "--yes", "--seconds", "5", "--config", str(config))
    assert status == 0, out + err
    planned = [line.split()[1:4:2] for line in out.splitlines() if line.startswith(("  1.", "  2."))]
    db = Database.open(load(config))
    with db.read() as connection:
        truths = [[one.fault, one.service.rstrip(",")] for one, _ in recorded(connection)]
    db.close()
    assert [[fault, service.rstrip(",")] for fault, service in planned] == truths
    assert out.splitlines()[-1] == "2 of 2 completed"


def test_the_next_waits_until_nobody_is_paged(tmp_path: Path) -> None:
    """What one caused must not end the next; after a while it says which incident stands against it."""
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    now = SystemClock().now()
    seen = Finding(
        detector="test", detector_version="1", kind="latency", service="web", summary="web is slow", onset=now,
        seen_at=now, score=0.99, severity="page",
    )  # fmt: skip
    incidents = Incidents(db, SystemClock(), OnCallConfig())
    incidents.observe([seen])
    slept: list[float] = []
    with pytest.raises(ChaosError, match="is still open: web is slow; resolve it"):
        _settled(db, slept.append)
    assert sum(slept) == 900
    _settled(db, lambda _: incidents.observe([]) and None)
    db.close()


def named(folder: Path, name: str) -> None:
    action = {"type": "action", "name": "mark", "provider": {"type": "process", "path": "true"}}
    content: dict[str, Any] = {"title": f"The experiment {name}", "description": "d", "method": [action]}
    (folder / f"{name}.json").write_text(json.dumps(content | {"rollbacks": []}))


def test_experiments_have_names_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They run, are listed, and a schedule can name them; an unknown one is refused with those that are near."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what else runs on this machine is no affair of this test
    folder = tmp_path / "experiments"
    folder.mkdir()
    # A run names its installation in the environment: what it sets is taken back after this test.
    for name in (CONFIG_ENV, SHOP_ENV, GAME_DAY_ENV):
        monkeypatch.setenv(name, "")
    named(folder, "payments-slow")
    (folder / "broken.yaml").write_text("title: [")
    path = tmp_path / "watchkeeper.yaml"
    scheduled = [
        {"id": "weekly", "experiment": "payments-slow", "cron": "0 10 * * 1"},
        {"id": "gone", "experiment": "payment-slow", "cron": "0 10 * * 1"},
    ]
    tree = {"data_dir": str(tmp_path / "data"), "chaos": {"folder": "experiments", "experiments": scheduled}}
    path.write_text(yaml.safe_dump(tree))
    run = front_door(monkeypatch, capsys)
    status, out, err = run("chaos", "run", "payments-slow", "--config", str(path))
    assert (status, out) == (0, "completed\n"), err
    status, _, err = run("chaos", "run", "payment-slow", "--config", str(path))
    assert (status, "there is no experiment 'payment-slow'" in err, "did you mean payments-slow?" in err) == (
        1, True, True,
    )  # fmt: skip
    assert "name the service to break too" in run("chaos", "run", "kill", "--config", str(path))[2]
    out = run("chaos", "list", "--config", str(path))[1]
    assert "payments-slow: The experiment payments-slow" in out
    assert "broken: cannot be read: " in out
    known, mistakes = schedules(load(path))
    assert [(one.id, one.file.name) for one in known] == [("weekly", "payments-slow.json")]
    assert "did you mean payments-slow?" in mistakes["gone"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "name the experiment once"),
        ({"file": "e.json", "experiment": "e"}, "name the experiment once"),
        ({"experiment": "e"}, "by its name in chaos.folder, which is not set"),
    ],
)
def test_a_schedule_names_its_experiment_once(tmp_path: Path, entry: dict[str, str], says: str) -> None:
    """By a file or by a name; a name needs the folder."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"chaos": {"experiments": [{"id": "a", "cron": "0 10 * * 1", **entry}]}}))
    with pytest.raises(ConfigError, match=says):
        load(path)
