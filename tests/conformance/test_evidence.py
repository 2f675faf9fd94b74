"""Every registered kind of evidence passes the suite, and the suite refuses kinds that break its rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from rca import conformance
from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.terms import Term
from watchkeeper.conformance import evidence_suite

TestEvidence = evidence_suite()

_CALLS = count()


def _term(candidate: str, **columns: object) -> Term:
    made = Term(kind="full", candidate=candidate, strength=0.5, sentence=f"{candidate} is full")
    return replace(made, **columns)  # type: ignore[arg-type]


def _busiest(case: Case) -> str:
    """The node whose backlog grew most: a true sign of the culprit in the example."""
    series = case.series
    assert series is not None
    rows = (series.metric == "backlog") & (series.time >= case.onset)
    return str(series.node[rows][series.value[rows].argmax()]) if rows.any() else ""


def good(case: Case) -> Sequence[Term]:
    """A queue that is full."""
    node = _busiest(case) if case.series is not None else ""
    return [_term(node)] if node else []


def undescribed(case: Case) -> Sequence[Term]:
    return good(case)


def forgetful(case: Case) -> Sequence[Term]:
    """Gives other terms each time."""
    return [replace(term, value=float(next(_CALLS))) for term in good(case)]


def meddling(case: Case) -> Sequence[Term]:
    """Changes the case."""
    if case.series is not None and len(case.series.value):
        case.series.value[0] += 1.0
    return good(case)


def careless(case: Case) -> Sequence[Term]:
    """Takes a table for granted."""
    return [_term(_busiest(case))]


def empty_handed(case: Case) -> Sequence[Term]:
    """Fails on a table without rows."""
    if case.series is not None and not len(case.series.value):
        raise IndexError("no rows")
    return good(case)


def undeclared(case: Case) -> Sequence[Term]:
    """Gives a term without a declared weight."""
    return [replace(term, kind="fuller") for term in good(case)]


def too_strong(case: Case) -> Sequence[Term]:
    """Is more than certain."""
    return [replace(term, strength=1.5) for term in good(case)]


def no_number(case: Case) -> Sequence[Term]:
    """Is not a number."""
    return [replace(term, strength=float("nan")) for term in good(case)]


def inventive(case: Case) -> Sequence[Term]:
    """Blames somebody unknown."""
    return [*good(case), _term("somebody")]


def talkative(case: Case) -> Sequence[Term]:
    """Writes two lines."""
    return [replace(term, sentence="two\nlines") for term in good(case)]


def name_bound(case: Case) -> Sequence[Term]:
    """Goes by names."""
    return [term for term in good(case) if term.candidate.startswith("node-")]


def wrong(case: Case) -> Sequence[Term]:
    """Blames everybody but the culprit."""
    culprit = _busiest(case) if case.series is not None else ""
    return [_term(node) for node in case.candidates if culprit and node != culprit]


def kind(explain: Callable[[Case], Sequence[Term]]) -> EvidenceKind:
    return EvidenceKind(explain=explain, weights={"full": 1.0}, needs=frozenset({"series"}))


def test_a_good_kind_passes() -> None:
    """The broken ones below differ from it in one thing each."""
    for check in conformance.CHECKS:
        check(kind(good))


@pytest.mark.parametrize(
    ("explain", "check"),
    [
        (undescribed, conformance.it_is_described),
        (forgetful, conformance.the_same_case_gives_the_same_terms),
        (meddling, conformance.the_same_case_gives_the_same_terms),
        (careless, conformance.without_its_tables_there_are_no_terms),
        (empty_handed, conformance.tables_without_rows_are_no_error),
        (undeclared, conformance.its_terms_are_declared_and_within_bounds),
        (too_strong, conformance.its_terms_are_declared_and_within_bounds),
        (no_number, conformance.its_terms_are_declared_and_within_bounds),
        (inventive, conformance.its_candidates_are_known),
        (talkative, conformance.its_sentences_are_one_printable_line),
        (name_bound, conformance.hostile_names_survive),
        (wrong, conformance.it_is_better_than_chance),
    ],
    ids=lambda value: value.__name__,
)
def test_the_suite_refuses_a_broken_kind(
    explain: Callable[[Case], Sequence[Term]], check: Callable[[EvidenceKind], None]
) -> None:
    """Each rule has a kind of evidence that breaks it."""
    with pytest.raises(Exception):  # noqa: B017 - an assertion, or what the broken kind dies of
        check(kind(explain))


def test_a_kind_that_gives_nothing_is_refused() -> None:
    """Its checks would pass without showing anything."""

    def silent(case: Case) -> Sequence[Term]:
        """Finds nothing."""
        return []

    with pytest.raises(AssertionError, match="gives no terms"):
        conformance.it_finds_something_in_its_example(kind(silent))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"weights": {}}, "at least one"),
        ({"weights": {"full": float("inf")}}, "finite"),
        ({"weights": {"fu\nll": 1.0}}, "printable"),
        ({"needs": frozenset({"smells"})}, "no table smells"),
        ({"needs": frozenset()}, "needs or reads"),
        ({"subject": "weather"}, "node or commit"),
    ],
)
def test_a_record_that_is_not_right_is_no_kind_of_evidence(columns: dict[str, object], message: str) -> None:
    """The error names the field and what it must be."""
    with pytest.raises(ValueError, match=message):
        replace(kind(good), **columns)  # type: ignore[arg-type]
