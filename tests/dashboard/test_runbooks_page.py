"""The page Runbooks over a real database: what waits for approval, the shelf with its proof, a plan, the journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dash.development.base_component import Component

from alerting.incidents.commands import Incidents
from chaos.journal import ExperimentTruth, record_experiment
from dashboard.page import PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import read_pages
from dashboard.rendering import rendered
from dashboard.urls import View
from dashboard.viewer import viewer
from runbooks.run_queue import RunQueue
from tests.dashboard.conftest import ONCALL
from tests.dashboard.values import NOW, diagnosis, finding
from watchkeeper.clock import FrozenClock
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.state.stops import stop_everything
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor, Proposal

ANA = Actor(name="Ana <b>Sousa</b>", via="dashboard")
BOOK = """
id: tidy-up
title: Tidy up {service}
why: "{service} is untidy."
mechanisms: [errors]
steps: [restart, verify]
blast_radius: "{service} alone."
undo: None by machine.
"""
POLICY = """
services: ["shop-*"]
approval: {count: 2, people: [ana, ben], stands_s: 600}
autonomous: {runbooks: [tidy-up], services: [shop-cart], proof: {runs: 3}}
"""
Show = Callable[..., str]


def proposal(service: str, blocked: str = "") -> Proposal:
    """Tidying up a service."""
    return Proposal(
        runbook="tidy-up",
        title=f"Tidy up {service}",
        service=service,
        steps=(f"Restart {service}", f"Check that {service} runs"),
        blast_radius=f"{service} alone",
        undo="None by machine.",
        actions=("restart", "verify"),
        blocked=blocked,
        proof="no experiment has tested it yet",
    )


def propose(incidents: Incidents, service: str, blocked: str = "") -> str:
    """An incident of a service, paged, with the runbook proposed."""
    others = [one for incident in incidents.list("open") for one in incident.findings]
    opened = incidents.observe([*others, finding(service)], now=NOW)
    incident_id = opened[0]
    incidents.diagnosed(incident_id, diagnosis((service, 0.9)), proposal(service, blocked), "d")
    incidents.page(incident_id)
    return incident_id


def run(incidents: Incidents, db: Database, incident_id: str, clock: FrozenClock, *, fails: bool) -> None:
    """Approve it, and run it as the watch role does: the first step is done, the second one may fail."""
    shown = incidents.get(incident_id).proposal
    assert shown is not None
    incidents.approve(incident_id, ANA, "a", shown.id)
    queue = RunQueue(db, clock)
    one = queue.claim(lambda *_: None)
    assert one is not None
    incidents.run_started(incident_id, "s", run=one.id)
    journal = queue.journal(one)
    for step in one.steps:
        began = journal.write(step, "running")
        clock.advance(5)
        broken = fails and step.name == "verify"
        journal.write(
            began, "failed" if broken else "done", "it does not run <i>" if broken else f"{step.name} went well"
        )
    incidents.run_finished(incident_id, "f", succeeded=not fails, text="verify failed" if fails else "", run=one.id)
    if not fails:
        clock.advance(10)
        incidents.recovered(incident_id, "r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one runbook and its policy."""
    books = tmp_path / "books"
    books.mkdir()
    (books / "tidy-up.yaml").write_text(BOOK)
    (books / "policy.yaml").write_text(POLICY)
    return books


@pytest.fixture
def show(tmp_path: Path, folder: Path, db: Database, clock: FrozenClock) -> Show:
    """The text of the page, for a choice of runbook and service. The store is away: nothing of it is needed."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "runbooks": {"dir": str(folder)}}))
    config = load(path)
    telemetry = Telemetry(url="http://127.0.0.1:9", database="otel", user="", password="")
    incidents = Incidents(db, clock, ONCALL)
    pages = read_pages()

    def show(**choices: str) -> str:
        sources = Sources(telemetry=telemetry, incidents=incidents, db=db, config=config, clock=clock)
        opened = pages.open("/runbooks")
        service = choices.pop("service", None)
        view = View(path="/runbooks", service=service, choices=choices)
        reader = viewer({"scheme": "light", "zone": "UTC"}, clock.now())
        return words(rendered(opened, PageRequest(sources=sources, view=view, viewer=reader)))

    return show


def words(part: Any) -> str:
    """The text of a page, blanks as one; a button by its name and what it is about."""
    if isinstance(part, (list, tuple)):
        return " ".join(words(child) for child in part)
    if not isinstance(part, Component):
        return "" if part is None else str(part)
    text = " ".join(words(getattr(part, "children", None)).split())
    named = getattr(part, "id", None)
    return f"[{text} {named['incident']}]" if isinstance(named, dict) and "incident" in named else text


def test_what_waits_has_its_steps_and_buttons(show: Show, incidents: Incidents) -> None:
    """A proposal that waits can be approved and declined here; advice that cannot run has no button."""
    waiting = propose(incidents, "shop-cart")
    advice = propose(incidents, "bank", blocked="the target cannot do this")
    text = show()
    assert "Restart shop-cart Check that shop-cart runs" in text
    assert text.count(f" {waiting}]") == 2
    assert f" {advice}]" not in text


def test_nothing_waits(show: Show) -> None:
    """Nor has anything run, or been tested: each says so."""
    text = show()
    assert "Nothing waits for approval." in text
    assert "No runbook has run yet" in text
    assert "none tested" in text


def test_the_journal_has_who_approved_and_each_steps_result(
    show: Show, incidents: Incidents, db: Database, clock: FrozenClock
) -> None:
    """A run that failed, and one that repaired: by whom, how long, and what became of every step."""
    run(incidents, db, propose(incidents, "shop-cart"), clock, fails=True)
    run(incidents, db, propose(incidents, "shop-web"), clock, fails=False)
    text = show().split("2 runs", 1)[1]
    newest, oldest = text.split("Tidy up shop-cart", 1)
    assert "2 of 2 steps done" in newest
    assert "✓ done Ana <b>Sousa</b> 10 s" in newest
    assert "1 of 2 steps done" in oldest
    assert "✓ done restart restart went well" in oldest
    assert "✕ failed verify it does not run <i>" in oldest
    assert "verify failed" in oldest


def test_the_shelf_shows_what_experiments_have_proved(
    show: Show, incidents: Incidents, db: Database, clock: FrozenClock
) -> None:
    """A run while a fault held counts; it repaired if the incident recovered before the fault ended."""
    for number, (service, fails) in enumerate((("shop-cart", False), ("shop-web", True))):
        began = clock.now() - timedelta(seconds=1)
        incident_id = propose(incidents, service)
        run(incidents, db, incident_id, clock, fails=fails)
        clock.advance(60)
        truth = ExperimentTruth(
            id=f"{number}" * 32, target="shop", fault="hang", service=service, mechanism="hung", services=(service,),
            began=began, ended=clock.now(), took_effect=True, effect_at=began, release="0.1.0",
        )  # fmt: skip
        record_experiment(db, truth)
    text = show(runbook="tidy-up")
    assert "1 of 2" in text
    assert "repaired 1 of 2 faults (hang), in a median of" in text
    assert "shop-cart: 1 of 1 shop-web: 0 of 1" in text


def test_a_runbook_says_what_it_needs_who_approves_and_what_it_would_do(show: Show) -> None:
    """Steps in words, verbs, the rule of approval, and a plan for one service with the undo of each step."""
    text = show(runbook="tidy-up", service="shop-cart")
    assert "Tidy up the service" in text
    assert "The service alone." in text
    assert "a target that takes restart" in text
    assert "2 people: ana and ben; it stands for 10 min" in text
    assert "on shop-cart, if 90% of 3 tests or more in 30 days repaired their fault" in text
    assert "May touch: shop-*." in text
    plan = text.split("Dry run", 1)[1]
    assert "Tidy up shop-cart" in plan
    assert "cannot run now no target is configured" in plan
    assert "Undo: nothing to undo" in plan


def test_what_cannot_be_read_is_named(show: Show, folder: Path) -> None:
    """A mistake in a file stands on the page with its line, and stops neither the journal nor the approvals."""
    (folder / "tidy-up.yaml").write_text(BOOK.replace("steps: [restart, verify]", "steps: []"))
    text = show()
    assert "Not read: " in text
    assert "tidy-up.yaml:6" in text
    assert "There is no runbook" in text
    assert "No runbook has run yet" in text


def test_the_global_stop_stands_at_the_top(show: Show, db: Database) -> None:
    """Who, why, and how it ends."""
    stop_everything(db, ANA, "the database is being moved", NOW)
    text = show()
    assert text.index("Everything is stopped.") < text.index("Nothing waits")
    assert "Ana <b>Sousa</b> stopped it just now : the database is being moved." in text
    assert "watchkeeper runbook resume" in text
