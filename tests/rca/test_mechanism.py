"""The mechanism is the most voted cause; a stale deploy takes no votes over."""

from __future__ import annotations

import pytest

from rca.mechanism import mechanism
from rca.terms import Term
from watchkeeper.vocabulary import Mechanism


def _term(kind: str, name: Mechanism, strength: float = 1.0) -> Term:
    return Term(kind=kind, candidate="cart", strength=strength, sentence="…", hints={name: strength})


@pytest.mark.parametrize(("fresh", "named"), [(0.97, "deploy"), (0.85, "latency"), (0.55, "latency")])
def test_only_a_deploy_right_before_the_onset_is_the_mechanism(fresh: float, named: str) -> None:
    """Half a minute before, the deploy explains the slowness; two or eight minutes before, it was just there."""
    terms = [(2.8, _term("call_gap", "latency")), (fresh, _term("change", "deploy", fresh))]
    assert mechanism(terms) == named


def test_a_busy_processor_explains_slowness() -> None:
    """Where CPU rose beside latency, latency is its symptom."""
    assert mechanism([(3.0, _term("self_time", "latency")), (0.9, _term("cpu", "cpu"))]) == "cpu"


def test_without_hints_the_mechanism_is_unknown() -> None:
    """No evidence says how it hurts."""
    assert mechanism([]) == "unknown"
