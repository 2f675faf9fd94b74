"""Weights from judged causes: better where the shipped ones are wrong, no worse where they are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pack_files import write_pack

from bench.rca_simulated import VARIANTS, Variant, incidents
from rca.learning.gate import LEAST_CAUSES, judge
from rca.learning.judged import JudgedCase, accuracy, judged_case, judged_live, one_per_incident
from rca.learning.training import LARGEST, held_out, train
from rca.packs.predict import predict
from rca.packs.reader import Pack
from rca.registry import read_engine
from tests.front_door import front_door
from watchkeeper.vocabulary import Diagnosis, Evidence, Label, Suspect, utc

ENGINE = read_engine()
SHIPPED = ENGINE.weights
# Resources and seconds hardly count, order and unknown metrics do: wrong on purpose.
WRONG = {
    **SHIPPED,
    "cpu": 0.2, "memory": 0.2, "disk": 0.2, "handles": 0.2, "self_time": 1.0, "errors": 1.0,
    "outlier": 3.0, "onset_order": 3.0,
}  # fmt: skip


def judged(variant: Variant) -> list[JudgedCase]:
    return [judged_case(case, ENGINE, "human", culprit) for case, culprit in incidents(variant)]


def right(cases: list[JudgedCase], weights: dict[str, float]) -> int:
    return sum(case.right(weights) for case in cases)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_weights_of_other_incidents_are_no_worse_than_the_shipped_ones(variant: Variant) -> None:
    """Cross-validated: each incident is ranked by weights that were trained without it."""
    cases = judged(variant)
    assert sum(held_out(cases, SHIPPED).values()) >= right(cases, SHIPPED)


@pytest.mark.parametrize("name", ["noisy", "faint and noisy"])
def test_weights_that_are_wrong_on_purpose_are_put_right(name: str) -> None:
    """A twelfth of the causes more stand first at least, on incidents that were not trained on."""
    cases = judged(next(variant for variant in VARIANTS if variant.name == name))
    assert sum(held_out(cases, WRONG).values()) >= right(cases, WRONG) + len(cases) // 12


def test_few_labels_do_no_harm() -> None:
    """Five incidents move the weights a little; the others are ranked as well as before, over many draws."""
    cases = judged(next(variant for variant in VARIANTS if variant.name == "faint and noisy"))
    gains = []
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(cases))
        few, rest = [cases[i] for i in order[:5]], [cases[i] for i in order[5:]]
        gains.append(right(rest, train(few, SHIPPED)) - right(rest, SHIPPED))
    assert np.mean(gains) >= 0


def test_a_weight_keeps_its_sign_and_its_bounds() -> None:
    """Labels that contradict the evidence bring a weight to nothing, never to its opposite."""
    contrary = [
        JudgedCase(id=str(n), source="human", cause="a", terms={"a": {}, "b": {"errors": 1.0, "out_of_reach": 0.0}})
        for n in range(200)
    ]
    weights = train(contrary, SHIPPED)
    assert 0.0 <= weights["errors"] < 0.2 * SHIPPED["errors"]
    agreeing = [
        JudgedCase(id=str(n), source="human", cause="a", terms={"a": {"onset_order": 1.0}, "b": {"errors": 0.3}})
        for n in range(200)
    ]
    assert train(agreeing, SHIPPED)["onset_order"] <= LARGEST * SHIPPED["onset_order"] + 1e-4
    assert weights["silence"] == SHIPPED["silence"]  # no label spoke of it


def test_without_labels_the_weights_are_the_shipped_ones() -> None:
    """Nor do labels teach whose cause was no candidate."""
    unknown = JudgedCase(id="1", source="human", cause="elsewhere", terms={"a": {"errors": 1.0}, "b": {}})
    assert train([], SHIPPED) == SHIPPED
    assert train([unknown], SHIPPED) == SHIPPED


def label(source: str, cause: str | None, at: float = 0.0) -> Label:
    return Label(
        id=f"{source}{at}", incident_id="i", source=source, author=source, at=utc(at), warranted=True, cause=cause  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_stored_diagnosis_is_ranked_again_from_its_strengths() -> None:
    """Not from what it weighed then: other weights served."""
    suspects = (
        Suspect(service="a", score=3.0, probability=0.9, evidence=(
            Evidence(kind="errors", weight=3.0, sentence="it fails", strength=0.1),)),
        Suspect(service="b", score=0.9, probability=0.1, evidence=(
            Evidence(kind="rare cpu up", weight=0.9, sentence="it is rare", strength=0.3),)),
    )  # fmt: skip
    diagnosis = Diagnosis(
        onset=utc(0), made_at=utc(9), suspects=suspects, abstained=False, reason="it fails", engine_version="2"
    )
    case = judged_live(label("human", "b"), diagnosis, SHIPPED)
    assert case is not None
    assert case.terms == {"a": {"errors": 0.1}, "b": {"rare cpu up": 0.3}}
    assert case.right(SHIPPED)
    assert judged_live(label("human", None), diagnosis, SHIPPED) is None


def test_a_diagnosis_of_an_older_version_teaches_nothing() -> None:
    """It kept no strengths."""
    old = Evidence(kind="errors", weight=3.0, sentence="it fails")
    suspects = (Suspect(service="a", score=3.0, probability=0.9, evidence=(old,)),)
    diagnosis = Diagnosis(
        onset=utc(0), made_at=utc(9), suspects=suspects, abstained=False, reason="it fails", engine_version="1"
    )
    assert judged_live(label("human", "a"), diagnosis, SHIPPED) is None


def case(number: int, source: str = "human") -> JudgedCase:
    return JudgedCase(id=str(number), source=source, cause="a", terms={"a": {"errors": 1.0}, "b": {}})


def test_the_experiments_word_counts_where_both_named_a_cause() -> None:
    """Whichever came first."""
    human, chaos = case(1), case(1, "chaos")
    assert one_per_incident([human, chaos]) == one_per_incident([chaos, human]) == (chaos,)


@pytest.mark.parametrize(
    ("better", "worse_by_chaos", "incidents", "passes", "words"),
    [
        (2, 0, LEAST_CAUSES, True, ""),
        (1, 0, LEAST_CAUSES, False, "1 causes more"),
        (0, 0, LEAST_CAUSES, False, "0 causes more"),
        (3, 1, LEAST_CAUSES + 4, False, "by chaos labels"),
        (2, 0, LEAST_CAUSES - 1, False, "incidents have a named cause"),
    ],
)
def test_the_gate(better: int, worse_by_chaos: int, incidents: int, passes: bool, words: str) -> None:
    """More causes than what serves, by at least two, on enough incidents, and none fewer by either source."""
    cases = [case(n, "chaos" if n >= incidents - 4 else "human") for n in range(incidents)]
    serving = {c.id: int(c.id) >= better for c in cases}
    candidate = dict.fromkeys(serving, True)
    for c in cases[incidents - worse_by_chaos :]:
        candidate[c.id] = False
    verdict = judge(cases, candidate, serving)
    assert verdict.passed == passes
    assert words in "; ".join(verdict.refused + verdict.waiting)
    assert verdict.serving == accuracy(list(serving.values()))


def test_the_command_trains_on_packs_and_its_file_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that blame the caller make its seconds count less."""
    pack = write_pack(tmp_path / "pack")
    (pack / "labels.jsonl").write_text("\n".join(
        json.dumps({"id": name, "root_cause": "front"}) for name in ("good", "nan", "odd")
    ))  # fmt: skip
    command = front_door(monkeypatch, capsys)
    status, shown, _ = command("rca", "train", str(pack), "--out", str(tmp_path / "weights.json"))
    assert status == 0
    assert "AC@1 on 3 cases: 0.000 by the default weights" in shown
    written = json.loads((tmp_path / "weights.json").read_text())
    assert written["weights"]["self_time"] < SHIPPED["self_time"]
    engine = read_engine(written["weights"])
    opened = Pack(pack)
    first = predict(opened, opened.headers[0], "service", engine).ranked[0]
    assert first.score < predict(opened, opened.headers[0], "service", ENGINE).ranked[0].score


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "holds no labels.jsonl"), ("[]", "an object with a string 'id'"), ("{", "not JSON"), ("", "no case")],
)
def test_a_pack_that_cannot_be_trained_on_is_refused(
    content: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line: which file, which line, what it must be."""
    pack = write_pack(tmp_path / "pack")
    if content is not None:
        (pack / "labels.jsonl").write_text(content)
    status, _, wrong = front_door(monkeypatch, capsys)("rca", "train", str(pack), "--out", str(tmp_path / "w.json"))
    assert status == 1
    assert words in wrong
