"""Experiments are kept in journal and truth, are refused before they touch anything, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from chaos.experiment import Experiment, run, validate
from chaos.fault import Effect
from chaos.record import Journal, Records
from chaos.registry import faults
from chaos.shop.running import running_shop
from tests.running_shop import RunningShop
from tests.waiting import STALLED_S, until
from watchkeeper.errors import ChaosError

pytestmark = pytest.mark.xdist_group("shop")


def test_an_experiment_keeps_its_journal_and_the_truth(shop: RunningShop) -> None:
    """What was broken, whether it took effect and when it was reverted stands in the journal and in the truth file."""
    experiment = Experiment(fault=faults()["latency"], service="orders", bound_s=30)
    seen: list[Effect] = []
    journal = run(experiment, shop.target, shop.records, seen.append)
    assert (journal.status, journal.steady_again) == ("completed", True)
    assert journal.injected_at <= journal.effect.since <= journal.reverted_at <= journal.end
    assert seen == [journal.effect]
    truth = json.loads((shop.data_dir / "chaos-truth.jsonl").read_text().splitlines()[-1])
    assert (truth["fault"], truth["target"], truth["took_effect"]) == ("latency", "orders", True)


def test_the_journal_is_kept_when_the_hold_fails(shop: RunningShop) -> None:
    """An exception while the fault holds still reverts it and still leaves a journal."""

    def fail(_: Effect) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Experiment(fault=faults()["latency"], service="shipping", bound_s=30), shop.target, shop.records, fail)
    entry = json.loads((shop.data_dir / "chaos-journal.jsonl").read_text().splitlines()[-1])
    assert entry["status"] == "interrupted"
    assert shop.host("shipping").reached_at == shop.host("shipping").port


def test_an_experiment_is_in_the_journal_before_it_breaks_anything(tmp_path: Path) -> None:
    """Rows replace their own earlier state, whole, beside half a line that an older version left."""
    (tmp_path / "chaos-journal.jsonl").write_text('{"id": "x", "tit')
    row = Journal(
        id="a",
        title="t",
        fault="kill",
        target="web",
        blast_radius="b",
        status="cut short",
        start=1.0,
        injected_at=2.0,
        effect=Effect(proved=False, since=0.0, detail="not probed"),
        reverted_at=9.0,
        end=9.0,
        deviations=(),
        steady_again=False,
    )
    records = Records(tmp_path)
    for kept in (row, replace(row, id="b"), replace(row, status="completed")):
        records.keep(kept, "killed")
    assert [(one.id, one.status) for one in records.history()] == [("b", "cut short"), ("a", "completed")]


@pytest.mark.parametrize(
    ("fault", "service", "bound_s", "reason"),
    [
        ("kill", "web", 30, "not opted in"),
        ("kill", "nobody", 30, "has no service 'nobody'"),
        ("memory", "cart", 30, "its target does not offer fault:memory"),
        ("hang", "cart", 900, "at most"),
    ],
)
def test_it_refuses_before_touching_anything(
    shop: RunningShop, fault: str, service: str, bound_s: float, reason: str
) -> None:
    """A wrong experiment is refused in words."""
    with pytest.raises(ChaosError, match=reason):
        validate(Experiment(fault=faults()[fault], service=service, bound_s=bound_s), shop.target)


def test_one_experiment_at_a_time(shop: RunningShop) -> None:
    """A second experiment against the same target, in a process of its own, is refused while one runs."""
    refusals: list[tuple[int, str]] = []

    def second(_: Effect) -> None:
        command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", "run", "hang", "cart"]
        done = subprocess.run([*command, "--shop", str(shop.data_dir)], capture_output=True, text=True, env=environment)
        refusals.append((done.returncode, done.stderr))

    environment = {name: value for name, value in os.environ.items() if name != "WATCHKEEPER_CONFIG"}
    run(Experiment(fault=faults()["kill"], service="shipping", bound_s=90), shop.target, shop.records, second)
    ((status, said),) = refusals
    assert status == 1
    assert "another experiment runs" in said


def test_nothing_outlives_the_supervisor(tmp_path: Path) -> None:
    """kill -9 of the shop's supervisor ends every service, even a stopped one."""
    command = [sys.executable, "-m", "chaos.shop", "--data-dir", str(tmp_path), "--rate", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        until((tmp_path / "shop.json").exists, moving=lambda: psutil.Process(process.pid).cpu_times())
        family = psutil.Process(process.pid).children(recursive=True)
        target = running_shop(tmp_path)
        host = target.status("payments").host
        assert host is not None
        os.kill(host.pid, signal.SIGSTOP)
        target.close()
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=STALLED_S)
    assert alive == []
