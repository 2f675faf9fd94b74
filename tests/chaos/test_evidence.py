"""The line of evidence on a page, and the scorecard's metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from prometheus_client import REGISTRY

from chaos.evidence import evidence_about, evidence_line
from chaos.metrics import export
from chaos.scored import ScoredExperiment
from tests.chaos.test_coverage import NOW, tried
from tests.chaos.test_scorecard import Installation
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Diagnosis, Mechanism, Suspect


def known(service: str, mechanism: Mechanism, outcome: str, days: float = 1.0) -> ScoredExperiment:
    one = tried(service, "f", outcome, days=days)  # type: ignore[arg-type]
    return replace(one, truth=replace(one.truth, mechanism=mechanism))


def named(service: str, mechanism: Mechanism, *, abstained: bool = False) -> Diagnosis:
    suspect = Suspect(service=service, score=1, probability=0.9, mechanism=mechanism)
    return Diagnosis(
        onset=NOW, made_at=NOW, suspects=(suspect,), abstained=abstained, reason="because", engine_version="1"
    )


def test_it_counts_faults_like_this_here() -> None:
    """The same service and mechanism as the first suspect; the newest test dates it."""
    tests = [known("orders", "killed", "found", days) for days in range(3, 12)]
    tests += [
        known("orders", "killed", "missed", 20),
        known("orders", "hung", "missed"),
        known("cart", "killed", "missed"),
    ]
    line = evidence_about(tests, "inc-1", "web", named("orders", "killed"), NOW)
    assert line == "Faults like this here: found 9 of 10, last tested 2 days ago"


def test_it_says_what_it_is_about_where_there_is_nothing_like_it() -> None:
    """Elsewhere, of other kinds, or never."""
    tests = [known("cart", "killed", "found"), known("orders", "hung", "missed")]
    assert evidence_line(tests, "web", "killed", NOW).startswith("Faults like this were never tested in web; elsewhere")
    assert evidence_line(tests, "orders", "cpu", NOW).startswith("Faults in orders, of other kinds: found 0 of 1")
    assert evidence_line(tests, "web", "cpu", NOW) == "Faults in web were never tested"
    assert evidence_line(tests, "orders", None, NOW).startswith("Faults in orders: found 0 of 1")
    abstained = evidence_about(tests, "inc-1", "cart", named("orders", "hung", abstained=True), NOW)
    assert abstained.startswith("Faults in cart: found 1 of 1")


def test_it_gives_no_experiment_away() -> None:
    """What still runs, and what caused the incident, is left out; without any other there is no line."""
    running = known("orders", "killed", "found", days=0)
    running = replace(running, truth=replace(running.truth, ended=NOW + timedelta(seconds=20)))
    own = replace(known("orders", "killed", "found", days=1), incidents=("inc-1",))
    without_effect = known("orders", "killed", "no effect")
    assert evidence_about([running, own, without_effect], "inc-1", "orders", named("orders", "killed"), NOW) == ""
    assert "found 1 of 1" in evidence_about([running, own], "inc-2", "orders", named("orders", "killed"), NOW)


def test_the_metrics_are_the_scorecard(db: Database) -> None:
    """With bounds; what was never measured has no sample, and what is gone none either."""
    here = Installation(db)
    here.breaks("kill", "orders", "killed")
    here.pages("orders", "orders", mechanism="killed")
    here.breaks("hang", "orders", "hung")
    here.scored()
    export(db, here.began)

    def sample(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"watchkeeper_{name}", labels)

    assert sample("experiments", outcome="found") == sample("experiments", outcome="missed") == 1
    assert sample("scorecard_share", fault="kill", measure="recall", bound="value") == 1
    assert sample("scorecard_share", fault="hang", measure="recall", bound="value") == 0
    assert sample("scorecard_share", fault="hang", measure="first", bound="value") is None
    assert sample("scorecard_seconds", fault="kill", measure="page", bound="value") == 10
    assert sample("scorecard_seconds", fault="kill", measure="page", bound="low") is None
    assert sample("scorecard_false_pages_per_hour", bound="value") is None
    assert sample("coverage_cells", state="detected") == sample("coverage_cells", state="missed") == 1
