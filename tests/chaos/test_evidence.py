"""The line of evidence on a page, and the scorecard's metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from alerting.incidents.human_labels import Judgement
from chaos.evidence import evidence_about, evidence_line
from chaos.journal import record_experiment
from chaos.metrics import export
from chaos.scorecard import scorecard
from chaos.scored import ScoredExperiment, scored_experiments, unsealed
from tests.chaos.test_coverage import NOW, tried
from tests.chaos.test_scorecard import ADA, Installation
from tests.front_door import front_door
from watchkeeper.config import load
from watchkeeper.intervals import Share
from watchkeeper.problems import Problems
from watchkeeper.roles.paging import _track_record
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


def test_a_page_and_the_command_line_carry_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the detector's own record; the experiment that is paged for is not mentioned."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data")}))
    db = Database.open(load(path))
    here = Installation(db)
    here.breaks("kill", "orders", "killed")
    first = here.pages("orders", "orders", mechanism="killed")
    here.scored()
    assert "Faults" not in _track_record(db, Problems(None), here.incidents.get(first))
    here.calm(5000)
    second = here.pages("orders", "orders", mechanism="killed")
    line = _track_record(db, Problems(None), here.incidents.get(second))
    assert "Faults like this here: found 1 of 1, last tested " in line
    assert line.startswith("This detector (red.errors)")
    db.close()
    shown = front_door(monkeypatch, capsys)("incident", "show", second, "--config", str(path))
    assert "Faults like this here: found 1 of 1" in shown[1]


def test_a_game_day_is_not_given_away(db: Database) -> None:
    """Nothing of it is counted before its end; then it is, and the human's labels on it are counted apart."""
    here = Installation(db)
    here.breaks("kill", "orders", "killed")
    own = here.pages("orders", "orders", mechanism="killed")
    (truth,) = [one.truth for one in scored_experiments(db)]
    record_experiment(db, replace(truth, sealed=True))
    before, after = truth.ended - timedelta(seconds=1), truth.ended
    assert unsealed(scored_experiments(db), before) == ()
    export(db, before)
    assert (
        REGISTRY.get_sample_value(
            "watchkeeper_scorecard_share", {"fault": "kill", "measure": "recall", "bound": "value"}
        )
        is None
    )
    here.incidents.judge(own, ADA, "j", Judgement(warranted=True, cause="web"))
    here.scored()
    card = scorecard(unsealed(scored_experiments(db), after))
    assert (card.game_day_label_errors, card.recall.right) == (Share(right=1, count=1), 1)


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
