"""`watchkeeper chaos run --config`: what it breaks in a real shop is known to the installation that watches it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from chaos.experiment import Experiment, run
from chaos.fault import Truth
from chaos.journal import ExperimentTruth, outcomes
from chaos.record import Records
from chaos.registry import faults
from chaos.truth import OPENS_WITHIN, Recorder, settle
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
def config(tmp_path: Path) -> tuple[Path, Config]:
    """An installation's configuration."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
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


def command(shop: RunningShop, path: Path, service: str, seconds: str) -> list[str]:
    words = ["chaos", "run", "latency", service, "--shop", str(shop.data_dir), "--seconds", seconds]
    return [sys.executable, "-m", "watchkeeper.cli.main", *words, "--config", str(path)]


def test_a_run_labels_the_incident_that_it_caused(shop: RunningShop, config: tuple[Path, Config]) -> None:
    """Recorded while it holds, settled after its end, with the service and the mechanism as the cause."""
    path, settings = config
    db = Database.open(settings)
    with subprocess.Popen(command(shop, path, "orders", "3"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("took effect" in line for line in process.stderr)
        held = recorded(db)
        incident_id = opens(db, "orders")
        assert process.wait(120) == 0
    assert held is not None
    ended = recorded(db)
    assert ended is not None
    assert ended.took_effect
    assert ended.ended < held.ended
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
    """kill -9 while the fault holds: the installation knows what was true, and until when at the latest."""
    path, settings = config
    db = Database.open(settings)
    with subprocess.Popen(command(shop, path, "cart", "5"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("took effect" in line for line in process.stderr)
        process.send_signal(signal.SIGKILL)
    held = recorded(db)
    assert held is not None
    assert (held.fault, held.service, held.took_effect) == ("latency", "cart", True)
    incident_id = opens(db, "cart")
    settle(db, held.ended + OPENS_WITHIN + timedelta(seconds=1), Problems(None))
    assert [(label.incident_id, label.cause) for label in labels(db)] == [(incident_id, "cart")]
    db.close()
    until(lambda: (seen := shop.target.probe("cart")).ok and seen.seconds < 0.4, what="the end of its fault")


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
