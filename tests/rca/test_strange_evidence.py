"""Evidence of another package is found by entry point, weighed by its declared default, and shown."""

from __future__ import annotations

import json
import sys
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from empty_store import EmptyStore
from pack_files import write_pack

from rca.case import Case, Series, text
from rca.engine import Engine
from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.registry import read_engine, read_evidence
from rca.terms import Term
from rca.weights import UnknownWeight, complete, parse, weight_of
from tests.front_door import front_door
from watchkeeper.errors import DiagnosisError
from watchkeeper.vocabulary import Finding, utc

MODULE = '''
from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.terms import Term


def full_queue(case: Case) -> list[Term]:
    """A queue that is full."""
    if case.series is None:
        return []
    return [Term(kind="full_queue", candidate="front", strength=0.5, sentence="front has a full queue")]


EVIDENCE = EvidenceKind(explain=full_queue, weights={"full_queue": 7.0}, needs=frozenset({"series"}))
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution of somebody else on the import path."""
    folder = tmp_path / "site"
    info = folder / "queues-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "strange_queues.py").write_text(dedent(MODULE))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: queues\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[watchkeeper.evidence]\nfull_queue = strange_queues:EVIDENCE\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "strange_queues", raising=False)
    invalidate_caches()
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "pack")


def test_it_is_listed_beside_the_built_in_kinds(stranger: Path) -> None:
    """With its package and its docstring's first line; the built-in ones came by the same way."""
    registry = read_evidence()
    assert registry.broken == ()
    part = registry.parts["full_queue"]
    assert (part.origin, part.summary) == ("queues 1.0", "A queue that is full.")
    assert registry.parts["excess"].origin.startswith("watchkeeper ")


def test_its_term_stands_in_the_explanation_of_a_recorded_case(
    stranger: Path, pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of its signal at its declared weight of 7."""
    _, shown, _ = front_door(monkeypatch, capsys)("rca", str(pack), "--explain", "good")
    assert "+3.50 full_queue: front has a full queue" in shown


def test_its_term_stands_in_a_live_diagnosis(stranger: Path) -> None:
    """Beside the built-in kinds, from the same store, by the same engine."""
    finding = Finding(
        detector="alertmanager", detector_version="1", kind="alert", service="front", summary="front is slow",
        onset=utc(1e9), seen_at=utc(1e9 + 2), score=1.0,
    )  # fmt: skip
    incident = LiveIncident(onset=utc(1e9), now=utc(1e9 + 30), findings=(finding,))
    first = diagnose(EmptyStore(), read_engine(), incident).suspects[0]
    assert first.service == "front"
    (evidence,) = first.evidence
    assert (evidence.kind, evidence.weight, evidence.strength) == ("full_queue", 3.5, 0.5)


def test_a_file_of_weights_overrides_its_default(
    stranger: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the named weights differ."""
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"weights": {"full_queue": 1.0}}))
    command = front_door(monkeypatch, capsys)
    _, shown, _ = command("rca", str(pack), "--explain", "good", "--weights", str(weights))
    assert "+0.50 full_queue: front has a full queue" in shown


def test_another_weight_for_a_known_term_is_refused(stranger: Path) -> None:
    """One name has one weight: the built-in kind stays, the other is named with the reason."""
    module = stranger / "strange_queues.py"
    module.write_text(module.read_text().replace("full_queue", "errors"))
    (stranger / "queues-1.0.dist-info" / "entry_points.txt").write_text(
        "[watchkeeper.evidence]\nfull_errors = strange_queues:EVIDENCE\n"
    )
    registry = read_evidence()
    (broken,) = registry.broken
    assert (broken.name, broken.origin) == ("full_errors", "queues 1.0")
    assert "another weight in errors of watchkeeper" in broken.reason


def test_a_kind_that_fails_is_named_and_costs_the_others_nothing() -> None:
    """The ranking comes from the rest."""
    kinds = read_evidence().values()

    def failing(case: Case) -> list[Term]:
        raise RuntimeError("it rains")

    def undeclared(case: Case) -> list[Term]:
        return [Term(kind="weather", candidate="a", strength=1.0, sentence="rain")]

    series = kinds["metric_change"]
    broken = {
        "failing": type(series)(explain=failing, weights={"rain": 1.0}, needs=frozenset({"series"})),
        "undeclared": type(series)(explain=undeclared, weights={"rain": 1.0}, needs=frozenset({"series"})),
    }
    times = np.tile(np.arange(20.0), 2)
    rising = np.where((np.arange(40) >= 30), 0.9, 0.1)
    case = Case(
        id="c", onset=10.0, end=20.0, candidates=("a", "b"),
        series=Series(time=times, node=text(["a"] * 20 + ["b"] * 20), metric=text(["cpu"] * 40), value=rising),
    )  # fmt: skip
    ranking = Engine(kinds | broken).rank(case)
    assert ranking.ranked[0].candidate == "b"
    assert ranking.ranked == Engine(kinds).rank(case).ranked
    assert ranking.failures["failing"] == "RuntimeError: it rains"
    assert "'weather', which has no declared weight" in ranking.failures["undeclared"]


def test_an_unknown_weight_is_an_error() -> None:
    """Neither the heaviest weight nor none: it is refused by name."""
    weights = read_engine().weights
    with pytest.raises(UnknownWeight, match="'smells'"):
        weight_of("smells", weights)
    with pytest.raises(UnknownWeight, match="'commit smells'"):
        weight_of("commit smells", weights)
    with pytest.raises(UnknownWeight, match="'smells'"):
        complete(weights, {"smells": 1.0})
    assert weight_of("rare cpu up", weights) == weights["rare"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("[", "no JSON"), ("[]", '"weights"'), ('{"weights": {"errors": "3"}}', "finite number"),
     ('{"weights": {"errors": NaN}}', "finite number")],
)  # fmt: skip
def test_a_file_that_is_no_weights_is_refused(content: str, message: str) -> None:
    """The message names the file and what it must be."""
    with pytest.raises(DiagnosisError, match=message):
        parse(content, "weights.json")
