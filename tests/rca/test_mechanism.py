"""The mechanism is the most voted cause; a stale deploy takes no votes over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rca.case import Case
from rca.evidence.change_events import change_events
from rca.evidence.silence import unanswered
from rca.example_cases import example_case
from rca.mechanism import mechanism
from rca.terms import Term
from watchkeeper.vocabulary import ChangeEvent, Mechanism, utc


def _term(kind: str, name: Mechanism, strength: float = 1.0) -> Term:
    return Term(kind=kind, candidate="cart", strength=strength, sentence="…", hints={name: strength})


@pytest.mark.parametrize(
    ("before_s", "named"), [(5.0, "deploy"), (12.0, "deploy"), (40.0, "latency"), (80.0, "latency"), (480.0, "latency")]
)
def test_only_a_deploy_right_before_the_onset_is_the_mechanism(before_s: float, named: str) -> None:
    """Some seconds before, the deploy explains the slowness; a minute before, it was just there."""
    deploy = ChangeEvent(id="d", at=utc(1e9 - before_s), kind="deploy", service="cart", title="Version 2")
    case = Case(id="c", onset=1e9, end=1e9 + 30, candidates=("cart",), changes=(deploy,))
    terms = [(2.8, _term("call_gap", "latency")), *((term.strength, term) for term in change_events(case))]
    assert mechanism(terms) == named


def test_a_deploy_without_a_symptom_is_no_mechanism() -> None:
    """A change is how something hurts only where something hurts, and a broken connection does not show how."""
    assert mechanism([(0.4, _term("change", "deploy")), (2.0, _term("unanswered", "unknown"))]) == "unknown"


def test_a_busy_processor_explains_slowness() -> None:
    """Where CPU rose beside latency, latency is its symptom."""
    assert mechanism([(3.0, _term("self_time", "latency")), (0.9, _term("cpu", "cpu"))]) == "cpu"


def test_without_hints_the_mechanism_is_unknown() -> None:
    """No evidence shows how it hurts."""
    assert mechanism([]) == "unknown"


@pytest.mark.parametrize(("serves", "named"), [(False, "killed"), (True, "unknown")])
def test_calls_that_fail_without_a_reason_are_refused_where_nobody_serves(serves: bool, named: str) -> None:
    """Many libraries hide why a connection failed; who serves others meanwhile may have broken it off."""
    example = example_case(3)
    case, flows = example.case, example.case.flows
    assert case.unanswered is not None
    assert case.heartbeats is not None
    assert flows is not None
    broken = replace(case.unanswered, timed_out=np.zeros(1))
    own = (flows.node == example.culprit) & (flows.time >= case.onset)
    if serves:
        beats = replace(case.heartbeats, last=np.full(len(case.heartbeats.last), case.heartbeats.horizon))
        case = replace(case, unanswered=broken, heartbeats=beats)
    else:
        case = replace(case, unanswered=broken, flows=replace(flows, calls=np.where(own, 0.0, flows.calls)))
    (term,) = unanswered(case)
    assert term.candidate == example.culprit
    assert max(term.hints, key=lambda name: term.hints[name]) == named
