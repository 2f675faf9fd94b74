"""Chances follow scores, stay below one in sum, and are low where the evidence is thin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.rca_calibration import reliability
from rca.calibration import chances
from rca.terms import Term

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-5, 8), min_size=1)


def _alone(scores: dict[str, float], kind: str = "errors") -> dict[str, list[tuple[float, Term]]]:
    return {
        name: [(score, Term(kind=kind, candidate=name, strength=1.0, sentence="it fails"))]
        for name, score in scores.items()
    }


@given(SCORES)
def test_chances_keep_the_order_and_leave_room_for_none_of_them(scores: dict[str, float]) -> None:
    """A higher score never has a lower chance, and all together stay below one."""
    found = chances(scores, _alone(scores))
    order = sorted(scores, key=lambda name: (-scores[name], name))
    values = [found[name] for name in order]
    assert values == sorted(values, reverse=True)
    assert 0 < sum(values) <= 1 + 1e-9


def test_plain_evidence_is_believed_and_thin_evidence_is_not() -> None:
    """One culprit with strong evidence is nearly certain; a faint sign, or two rivals, are no answer."""
    plain, faint, rivals = {"a": 5.0, "b": 0.4}, {"a": 0.05, "b": 0.0}, {"a": 1.0, "b": 0.95}
    assert chances(plain, _alone(plain))["a"] > 0.9
    assert chances(faint, _alone(faint))["a"] < 0.5
    assert chances(rivals, _alone(rivals))["a"] < 0.5


def test_rarity_alone_is_less_certain() -> None:
    """Events without sizes are weaker evidence than measured seconds and failures."""
    scores = {"a": 3.0, "b": 1.0}
    assert chances(scores, _alone(scores, "rare cpu up"))["a"] < chances(scores, _alone(scores))["a"] - 0.05


def test_the_calibration_error_is_the_mean_gap() -> None:
    """Half of the certain being wrong is an error of one half; a right chance adds none."""
    assert reliability(np.ones(4), np.array([1.0, 0.0, 1.0, 0.0])).error == pytest.approx(0.5)
    assert reliability(np.full(4, 0.5), np.array([1.0, 0.0, 1.0, 0.0])).error == pytest.approx(0.0)
