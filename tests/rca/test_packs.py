"""Recorded packs: quality against a stored baseline, and defective data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rca.packs.predict import predict
from rca.packs.reader import Pack
from watchkeeper.errors import DiagnosisError

DATA = Path(__file__).parents[3] / "shared" / "data" / "rca"
NS = 1_000_000_000
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
    ranks = [predict(pack, h, what).ranking.index(truth[h.id]) for h in pack.headers]  # type: ignore[arg-type]
    first, third = BASELINES[key]
    assert np.mean([rank < 1 for rank in ranks]) >= first
    assert np.mean([rank < 3 for rank in ranks]) >= third


def metrics(path: Path, broken: str, *, offset: float = 0.0, nan: bool = False) -> None:
    """Ten minutes of latency and requests of two services; `broken` gets slow after five."""
    rows = []
    for minute in range(10):
        at = int((1_700_000_000 + offset + 60 * minute) * NS)
        for service in ("front", "back"):
            slow = 1.0 if service == broken and minute >= 5 else 0.0
            rows.append((at, service, "latency_average", float("nan") if nan and minute == 0 else 0.1 + slow))
            rows.append((at, service, "requests_sum", 100.0))
    columns = dict(zip(("timestamp", "service", "metric", "value"), map(list, zip(*rows, strict=True)), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def case(name: str, **columns: object) -> dict[str, object]:
    return {
        "id": name, "system": "two", "t_start": 1_700_000_000 * NS, "t_end": 1_700_000_600 * NS,
        "t_onset": 1_700_000_300 * NS, "signals": ["metrics"], "files": [f"telemetry/{name}/metrics.parquet"],
        "reference": [], **columns,
    }  # fmt: skip


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    metrics(tmp_path / "telemetry/good/metrics.parquet", "back")
    metrics(tmp_path / "telemetry/nan/metrics.parquet", "back", nan=True)
    metrics(tmp_path / "telemetry/skewed/metrics.parquet", "back", offset=86400)
    cases = [case("good"), case("nan"), case("skewed"), case("missing"), case("odd", signals=["smells"])]
    cases[4]["files"] = cases[0]["files"]
    lines = [*map(json.dumps, cases), "not json"]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    (tmp_path / "edges.csv").write_text("system,source,target\ntwo,front,back\n")
    return Pack(tmp_path)


def test_it_blames_the_service_whose_own_time_grew(pack: Pack) -> None:
    """Metrics and a call graph are enough: seconds are booked where they arose."""
    found = predict(pack, pack.headers[0], "service")
    assert found.ranking[0] == "back"
    assert found.mechanism == "latency"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("number", "words"), [(1, "NaN"), (2, "its clock is off"), (3, "is missing"), (4, "unknown signal 'smells'")]
)
def test_bad_data_becomes_a_note_on_its_case(pack: Pack, number: int, words: str) -> None:
    """What is wrong with one case is noted, and the case is ranked from the rest."""
    found = predict(pack, pack.headers[number], "service")
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
    assert "names no commits" in predict(pack, pack.headers[0], "commit").failed


def test_the_same_case_gives_the_same_answer(pack: Pack) -> None:
    """Nothing in the engine is random."""
    assert predict(pack, pack.headers[0], "service").ranking == predict(pack, pack.headers[0], "service").ranking
