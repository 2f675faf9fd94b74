"""`watchkeeper chaos run --config`: what it breaks in a real shop is known to the installation that watches it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from chaos.experiment import PROOF_AND_REVERT_S, Experiment, run
from chaos.fault import Truth
from chaos.journal import ExperimentTruth, outcomes
from chaos.record import Records
from chaos.registry import faults
from chaos.shop.topology import PLANS
from chaos.truth import OPENS_WITHIN, Recorder, settle
from tests.front_door import front_door
from tests.running_shop import RunningShop
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, load
from watchkeeper.errors import StateError
from watchkeeper.problems import Problems
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import experiments
from watchkeeper.vocabulary import Finding

pytestmark = pytest.mark.xdist_group("shop")


@pytest.fixture
def config(tmp_path: Path, shop: RunningShop, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Config]:
    """The configuration of an installation whose target is the shop."""
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    target = {"url": shop.control_url, "token_env": "SHOP_TOKEN"}
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": {"shop": target}}))
    return path, load(path)


def opens(db: Database, service: str) -> str:
    """An incident that a detector opens now."""
    now = SystemClock().now()
    seen = Finding(
        detector="test", detector_version="1", kind="latency", service=service, summary=f"{service} is slow",
        onset=now, seen_at=now, score=0.99, severity="page",
    )  # fmt: skip
    (incident_id,) = Incidents(db, SystemClock(), OnCallConfig()).observe([seen])
    return incident_id


def recorded(db: Database) -> ExperimentTruth | None:
    """The newest experiment that the installation knows."""
    with db.read() as connection:
        body = connection.scalar(select(experiments.c.body).order_by(experiments.c.began.desc()).limit(1))
    return parse(ExperimentTruth, body) if body else None


def command(path: Path, service: str, seconds: str, *more: str) -> list[str]:
    words = ["chaos", "run", "latency", service, "--seconds", seconds, "--config", str(path), *more]
    return [sys.executable, "-m", "watchkeeper.cli.main", *words]


def test_a_run_labels_the_incident_that_it_caused(shop: RunningShop, config: tuple[Path, Config]) -> None:
    """Recorded while it holds, settled after its end, with the service and the mechanism as the cause."""
    path, settings = config
    db = Database.open(settings)
    directory = ("--shop", str(shop.data_dir))
    with subprocess.Popen(command(path, "orders", "3", *directory), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("took effect" in line for line in process.stderr)
        running = recorded(db)
        incident_id = opens(db, "orders")
        assert process.wait(120) == 0
    assert running is not None
    ended = recorded(db)
    assert ended is not None
    assert ended.took_effect
    assert ended.ended < running.ended
    settle(db, ended.ended + OPENS_WITHIN + timedelta(seconds=1), Problems(None))
    (label,) = labels(db)
    assert (label.incident_id, label.source, label.warranted) == (incident_id, "chaos", True)
    assert (label.cause, label.mechanism) == ("orders", "latency")
    assert list(outcomes(db).values()) == ["found"]
    db.close()
    words = ["chaos", "history", "--shop", str(shop.data_dir), "--config", str(path), "--json"]
    shown = subprocess.run([sys.executable, "-m", "watchkeeper.cli.main", *words], capture_output=True, check=True)
    assert json.loads(shown.stdout)[-1]["outcome"] == "found"


def test_a_run_that_is_killed_is_settled_all_the_same(shop: RunningShop, config: tuple[Path, Config]) -> None:
    """kill -9 while the fault holds: the installation knows what was true of its target, and until when."""
    path, settings = config
    db = Database.open(settings)
    with subprocess.Popen(command(path, "cart", "5"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("took effect" in line for line in process.stderr)
        process.send_signal(signal.SIGKILL)
    records = Records(settings.data_dir / "chaos")
    (journal,) = records.history()
    assert (journal.status, journal.fault, journal.target) == ("cut short", "latency", "cart")
    assert journal.effect.proved
    truth = json.loads((settings.data_dir / "chaos" / "chaos-truth.jsonl").read_text().splitlines()[-1])
    assert (truth["id"], truth["cut_short"], truth["took_effect"]) == (journal.id, True, True)
    assert truth["ended_at"] - truth["injected_at"] == pytest.approx(5 + PROOF_AND_REVERT_S, abs=1)
    running = recorded(db)
    assert running is not None
    assert running.target == shop.target.name
    assert (running.fault, running.service, running.took_effect) == ("latency", "cart", True)
    incident_id = opens(db, "cart")
    settle(db, running.ended + OPENS_WITHIN + timedelta(seconds=1), Problems(None))
    assert [(label.incident_id, label.cause) for label in labels(db)] == [(incident_id, "cart")]
    db.close()
    until(lambda: (seen := shop.target.probe("cart")).ok and seen.seconds < 0.4, what="the end of its fault")
    run(Experiment(fault=faults()["kill"], service="shipping", bound_s=30), shop.target, records, lambda _: None)
    assert [one.id for one in records.history()][:-1] == [journal.id]


def test_what_cannot_be_recorded_is_not_broken(shop: RunningShop) -> None:
    """The installation's record comes before the fault; if it fails, the target stays whole."""
    received: list[Truth] = []

    def fail(truth: Truth) -> None:
        received.append(truth)
        raise StateError("the disk is full")

    experiment = Experiment(fault=faults()["kill"], service="shipping", bound_s=30)
    with pytest.raises(StateError):
        run(experiment, shop.target, Records(shop.data_dir, fail), lambda _: None)
    assert len(received) == 1
    assert shop.target.status("shipping").state == "running"


def test_the_next_run_records_what_an_earlier_one_could_not(shop: RunningShop, config: tuple[Path, Config]) -> None:
    """The database failed while the fault held: the truth beside the target has the end, and is taken from there."""
    db = Database.open(config[1])
    recorder = Recorder(db, shop.target, lambda _: None)
    first: list[Truth] = []

    def only_once(truth: Truth) -> None:
        if not first:
            first.append(truth)
            recorder(truth)

    experiment = Experiment(fault=faults()["latency"], service="orders", bound_s=30)
    run(experiment, shop.target, Records(shop.data_dir, only_once), lambda _: None)
    before = recorded(db)
    recorder.catch_up(shop.records)
    after = recorded(db)
    assert before is not None
    assert after is not None
    assert (before.took_effect, after.took_effect) == (None, True)
    assert len(outcomes(db)) == 1
    db.close()


def test_a_control_window_labels_false_pages(config: tuple[Path, Config]) -> None:
    """Nothing was broken: an incident about the target in it was not warranted."""
    path, settings = config
    db = Database.open(settings)
    words = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", "control", "--minutes", "0.1"]

    def calm_window() -> str:
        """The incident that opened in a window; empty where customers were harmed, on a busy machine."""
        with subprocess.Popen([*words, "--config", str(path)], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "control window" in process.stderr.readline()
            opened = opens(db, "orders")
            return "" if process.wait(120) else opened

    incident_id = until(calm_window, what="a window in which customers stay well")
    settle(db, SystemClock().now() + OPENS_WITHIN, Problems(None))
    assert list(outcomes(db).values()) == ["false page"]
    (label,) = labels(db)
    assert (label.incident_id, label.source, label.warranted, label.cause) == (incident_id, "chaos", False, None)
    db.close()


def test_the_command_lists_what_can_be_broken(
    shop: RunningShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every fault with the services that opted in; without a target, nothing is claimed of services."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG", raising=False)
    command = front_door(monkeypatch, capsys)
    rows = json.loads(command("chaos", "list", "--json", "--shop", str(shop.data_dir))[1])
    assert {row["fault"] for row in rows} == set(faults())
    from_here = [row for row in rows if not row["needs"][0].startswith("fault:")]
    assert {tuple(row["services"]) for row in from_here} == {tuple(sorted(p.name for p in PLANS if p.may_break))}
    (hang,) = [row for row in rows if row["fault"] == "hang"]
    assert hang["refused"]["web"] == "its owner has not opted in to experiments (may_break)"
    (memory,) = [row for row in rows if row["fault"] == "memory"]
    assert memory["services"] == []
    assert memory["refused"]["cart"] == "its target does not offer fault:memory"
    assert {row["services"] for row in json.loads(command("chaos", "list", "--json")[1])} == {None}


@pytest.mark.parametrize("words", [("run", "kill", "cart"), ("control",), ("history",)])
def test_without_a_target_the_command_names_both_ways(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a shop nor a configuration was named."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG", raising=False)
    status, _, err = front_door(monkeypatch, capsys)("chaos", *words)
    assert status == 1
    assert "name the target: --shop DIR, or --config FILE" in err
