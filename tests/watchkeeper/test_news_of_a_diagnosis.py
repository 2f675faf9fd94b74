"""When a later diagnosis takes the place of an earlier one: one rule, for the role and for the incident's log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchkeeper.vocabulary import Diagnosis, Evidence, Suspect, is_news, utc

ERRORS = Evidence(kind="errors", weight=2.4, sentence="cart fails 40 % of its requests")
CART = Suspect(service="cart", score=2.4, probability=0.62, mechanism="errors", evidence=(ERRORS,))
WEB = Suspect(service="web", score=0.3, probability=0.1)
EARLIER = Diagnosis(
    onset=utc(100), made_at=utc(130), suspects=(CART, WEB), abstained=False, reason="cart fails", engine_version="2"
)


def later(**changes: Any) -> Diagnosis:
    """The diagnosis after some seconds, with another first suspect."""
    return replace(EARLIER, made_at=utc(150), suspects=(replace(CART, **changes), WEB))


def evidence(kind: str, weight: float) -> Evidence:
    return Evidence(kind=kind, weight=weight, sentence="because")


def test_the_first_diagnosis_is_news() -> None:
    """There is nothing that it would repeat."""
    assert is_news(EARLIER, None)


def test_the_same_answer_later_is_none() -> None:
    """Another time, another figure in a sentence: a human would read the same."""
    assert not is_news(replace(EARLIER, made_at=utc(150), reason="cart fails 41 %"), EARLIER)


@pytest.mark.parametrize(
    "changes",
    [
        {"change_id": "deploy-7"},
        {"evidence": (ERRORS, evidence("logs", 0.8))},
        {"evidence": (ERRORS, evidence("out_of_reach", -2.0))},
        {"mechanism": "deploy"},
        {"instance": "cart-2"},
        {"operation": "POST /cart"},
        {"metric": "process.cpu.utilization"},
        {"probability": 0.8},
        {"service": "orders"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_human_would_read_otherwise_is_news(changes: dict[str, Any]) -> None:
    """The same service with a new deploy, new evidence, or a surer answer replaces the earlier diagnosis."""
    assert is_news(later(**changes), EARLIER)


def test_faint_evidence_that_comes_and_goes_is_none() -> None:
    """Nor is evidence that is gone while all else stands."""
    assert not is_news(later(evidence=(ERRORS, evidence("logs", 0.05))), EARLIER)
    assert not is_news(EARLIER, later(evidence=(ERRORS, evidence("logs", 0.8))))


def test_naming_a_cause_or_no_longer_naming_one_is_news() -> None:
    """An abstention is another answer than a name."""
    assert is_news(replace(EARLIER, abstained=True), EARLIER)
    assert is_news(EARLIER, replace(EARLIER, abstained=True))


def test_another_order_of_the_first_suspects_is_news_and_of_the_last_is_none() -> None:
    """A page shows three suspects; what comes after them is no news."""
    far = tuple(Suspect(service=f"s{n}", score=0.0, probability=0.01) for n in range(4))
    assert is_news(replace(EARLIER, suspects=(WEB, CART)), EARLIER)
    one = replace(EARLIER, suspects=(CART, WEB, *far))
    other = replace(EARLIER, suspects=(CART, WEB, far[0], *far[:0:-1]))
    assert not is_news(other, one)


def test_a_diagnosis_without_suspects_is_news_by_its_reason() -> None:
    """It has nothing else to read."""
    none = replace(EARLIER, suspects=(), abstained=True, reason="telemetry is 30 s behind")
    assert is_news(replace(none, reason="no service shows any change"), none)
    assert not is_news(none, none)
