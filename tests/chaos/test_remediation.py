"""Each fault really harms its target, and its runbook remediates it while chaos still holds it: in a real shop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.fault import measure_baseline, prove
from chaos.registry import faults
from runbooks.execute import Executor, dry_run
from runbooks.journal import Journal
from runbooks.library import load_runbooks
from runbooks.policy import Policy
from runbooks.run_queue import LEASE
from runbooks.run_rows import claim_run
from tests.running_shop import RunningShop
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.state.database import Database
from watchkeeper.state.runs import add_run, begin_run
from watchkeeper.vocabulary import Proposal

pytestmark = pytest.mark.xdist_group("shop")


@pytest.mark.parametrize(
    ("fault", "service", "runbook"),
    [
        ("kill", "cart", "start-service"),
        ("hang", "shipping", "replace-hung-instance"),
        ("bad_deploy", "orders", "roll-back-deploy"),
        ("db_lock", "inventory", "release-database"),
        ("latency", "catalogue", "replace-network-path"),
        ("cpu_hog", "recommendations", "restart-service"),
    ],
)
def test_the_fault_harms_and_its_runbook_remediates(
    shop: RunningShop, tmp_path: Path, fault: str, service: str, runbook: str
) -> None:
    """The probe proves the harm; after the runbook it is gone, before chaos takes anything back."""
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    library = replace(load_runbooks(), policy=Policy(services=(service,)))
    steps = library.books[runbook].steps
    proposal = Proposal(
        runbook=runbook, title="t", service=service, steps=steps, blast_radius="b", undo="u", actions=steps
    )
    target = shop.target
    before = measure_baseline(target, service)
    assert before.healthy
    with faults()[fault].inject(target, service, 240.0):
        effect = prove(faults()[fault], target, service, before)
        assert effect.proved, effect.detail
        assert dry_run(proposal, target, library).succeeded
        with db.write() as connection:
            add_run(connection, f"{fault}-{service}", "inc-1", proposal, SystemClock().now())
            begin_run(connection, f"{fault}-{service}", SystemClock().now())
        run = claim_run(db, "test", SystemClock().now(), LEASE)
        assert run is not None
        result = Executor(target, Journal(db, run, SystemClock(), LEASE)).carry_out()
        assert result.succeeded, result.text

        def is_well() -> bool:
            samples = [target.probe(service) for _ in range(5)]
            harm = [faults()[fault].harmed(target, service, before, sample) for sample in samples]
            return all(sample.ok for sample in samples) and not any(harm)

        # A busy machine is slow, too: what counts is that the harm is gone while the fault is still held.
        until(is_well)
    db.close()
