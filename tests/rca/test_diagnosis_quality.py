"""The quality of diagnoses on made-up systems, against a stored baseline: any clone can tell when it drops.

`baseline.json` holds how many causes stand first, and among the first three, by system. Cases and engine are without
chance, so a lower number is a change of the engine. Whoever raises one writes it down there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from shop_pack import write_shop_pack

from bench.rca_simulated import VARIANTS, incidents
from rca.packs.labels import read_labels
from rca.packs.predict import predict
from rca.packs.reader import Pack
from rca.registry import read_engine

ENGINE = read_engine()
BASELINE = json.loads((Path(__file__).parent / "baseline.json").read_text())


def counted(places: Iterable[int]) -> dict[str, int]:
    """Of the places of the causes in their rankings (0 is first): how many are first, how many among three, of all."""
    known = list(places)
    return {"cases": len(known), "first": sum(p < 1 for p in known), "of three": sum(p < 3 for p in known)}


def no_worse(system: str, now: dict[str, int]) -> None:
    before = BASELINE[system]
    assert now["cases"] == before["cases"]
    assert (now["first"], now["of three"]) >= (before["first"], before["of three"]), f"{system}: {now}, was {before}"
    assert now["of three"] >= before["of three"], f"{system}: {now}, was {before}"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_systems_that_record_metrics_alone(variant: object) -> None:
    """Sixty incidents a variant."""
    places = []
    for case, culprit in incidents(variant):  # type: ignore[arg-type]
        names = [ranked.candidate for ranked in ENGINE.rank(case).ranked]
        places.append(names.index(culprit))
    no_worse(variant.name, counted(places))  # type: ignore[attr-defined]


def test_a_shop_with_traces_logs_and_metrics(tmp_path: Path) -> None:
    """Through the files of a pack, as `watchkeeper rca` reads them."""
    root = write_shop_pack(tmp_path, seed=100)
    pack, labels = Pack(root), read_labels(root)
    assert pack.problems == []
    places = []
    for header in pack.headers:
        prediction = predict(pack, header, "service", ENGINE)
        assert prediction.notes == ()
        places.append(prediction.ranking.index(labels[header.id]["root_cause"]))
    no_worse("shop", counted(places))


def test_the_baseline_is_of_these_systems() -> None:
    """A system that is no longer measured would leave its number behind."""
    assert set(BASELINE) == {variant.name for variant in VARIANTS} | {"shop"}
