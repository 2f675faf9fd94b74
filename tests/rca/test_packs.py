"""Recorded packs: quality against a stored baseline, and defective data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pack_files import write_pack

from rca.packs.predict import predict
from rca.packs.reader import Pack
from rca.registry import read_engine
from watchkeeper.errors import DiagnosisError

DATA = Path(__file__).parents[3] / "shared" / "data" / "rca"
ENGINE = read_engine()
BASELINES = {
    ("petshop", "service", "root_cause"): (0.92, 1.0),
    ("tvdiag", "instance", "instance"): (0.58, 0.78),
    ("rootcausebench", "commit", "commit"): (0.62, 1.0),
}


@pytest.mark.parametrize("key", BASELINES, ids=lambda key: key[0])
def test_it_ranks_recorded_incidents_as_well_as_before(key: tuple[str, str, str]) -> None:
    """AC@1 and AC@3 on a development pack do not fall below the stored baseline."""
    name, what, label = key
    if not (DATA / name).is_dir():
        pytest.skip(f"the pack {name} is not on this machine")
    pack = Pack(DATA / name)
    truth = {row["id"]: row[label] for row in map(json.loads, (DATA / name / "labels.jsonl").read_text().splitlines())}
    ranks = [predict(pack, h, what, ENGINE).ranking.index(truth[h.id]) for h in pack.headers]  # type: ignore[arg-type]
    first, third = BASELINES[key]
    assert np.mean([rank < 1 for rank in ranks]) >= first
    assert np.mean([rank < 3 for rank in ranks]) >= third


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(write_pack(tmp_path))


def test_it_blames_the_service_whose_own_time_grew(pack: Pack) -> None:
    """Metrics and a call graph are enough: seconds are booked where they arose."""
    found = predict(pack, pack.headers[0], "service", ENGINE)
    assert found.ranking[0] == "back"
    assert found.mechanism == "latency"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("number", "words"), [(1, "NaN"), (2, "its clock is off"), (3, "is missing"), (4, "unknown signal 'smells'")]
)
def test_bad_data_becomes_a_note_on_its_case(pack: Pack, number: int, words: str) -> None:
    """What is wrong with one case is noted, and the case is ranked from the rest."""
    found = predict(pack, pack.headers[number], "service", ENGINE)
    assert any(words in note for note in found.notes)
    assert set(found.ranking) == {"front", "back"}


def test_a_malformed_line_does_not_end_the_pack(pack: Pack) -> None:
    """The line is named; the other cases are there."""
    assert len(pack.headers) == 5
    assert "cases.jsonl:6" in pack.problems[0]


def test_a_folder_without_cases_is_no_pack(tmp_path: Path) -> None:
    """The message names what is missing."""
    with pytest.raises(DiagnosisError, match="holds no cases"):
        Pack(tmp_path)


def test_a_case_without_commits_has_none_to_rank(pack: Pack) -> None:
    """It fails with a reason instead of a guess."""
    assert "names no commits" in predict(pack, pack.headers[0], "commit", ENGINE).failed


def test_the_same_case_gives_the_same_answer(pack: Pack) -> None:
    """Nothing in the engine is random."""
    assert (
        predict(pack, pack.headers[0], "service", ENGINE).ranking
        == predict(pack, pack.headers[0], "service", ENGINE).ranking
    )
