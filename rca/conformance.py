"""What every kind of evidence must do, as a suite of tests: for built-in kinds and for those of other packages."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from rca.case import Case
from rca.engine import checked
from rca.evidence_kind import NO_COMMIT, TABLES, EvidenceKind
from rca.example_cases import renamed, without
from rca.terms import Term
from watchkeeper.vocabulary import LONGEST_SENTENCE, Evidence

Check = Callable[[EvidenceKind], None]
SEEDS = range(12)
# Of the way from the best place to the last: the middle is chance, and this is what a kind must at least reach.
BETTER_THAN_CHANCE = 0.35
HOSTILE = (
    "a\nb", "\u202elive", "x" * 5_000,
    "<script>alert(1)</script>", "{}", "%s %(x)s", "\x00", " ", "→ none", "💥", "\ud800",
)  # fmt: skip


def evidence_suite(parts: Mapping[str, EvidenceKind] | None = None) -> type:
    """The tests that every kind of evidence must pass, over `parts` by name or over all that are registered."""
    import pytest

    from rca.registry import read_evidence

    kinds = read_evidence().values() if parts is None else dict(parts)

    class EvidenceSuite:
        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        @pytest.mark.parametrize("name", sorted(kinds))
        def test_evidence(self, name: str, check: Check) -> None:
            check(kinds[name])

    return EvidenceSuite


def it_is_described(kind: EvidenceKind) -> None:
    """The function has a docstring, whose first line lists and pages show."""
    assert (inspect.getdoc(kind.explain) or "").strip(), "its function has no docstring"


def it_finds_something_in_its_example(kind: EvidenceKind) -> None:
    """Without terms, none of the other checks would show anything."""
    assert _terms(kind, 0), "it gives no terms for its own example"


def the_same_case_gives_the_same_terms(kind: EvidenceKind) -> None:
    """Pure: no clock, no chance, no memory, and the case is not changed."""
    case = kind.example(1).case
    before = _content(case)
    first = list(kind.explain(case))
    assert list(kind.explain(case)) == first, "a second call gives other terms"
    assert list(kind.explain(kind.example(1).case)) == first, "an equal case gives other terms"
    assert _content(case) == before, "it changes the case"


def without_its_tables_there_are_no_terms(kind: EvidenceKind) -> None:
    """The engine does not ask it then; asked all the same, it answers with nothing."""
    case = kind.example(2).case
    missing = [frozenset({table}) for table in kind.needs] or [kind.reads]
    for tables in missing:
        bare = without(case, *tables)
        assert not kind.applies(bare), f"it applies without {', '.join(sorted(tables))}"
        assert not list(kind.explain(bare)), f"it gives terms without {', '.join(sorted(tables))}"
    empty = without(case, *TABLES)
    assert not list(kind.explain(empty)), "it gives terms for a case without any table"


def tables_without_rows_are_no_error(kind: EvidenceKind) -> None:
    """A window in which nothing was recorded, and one with a single row, are valid."""
    case = kind.example(3).case
    for rows in (0, 1):
        few = replace(case, **{t: _first_rows(getattr(case, t), rows) for t in TABLES if _is_plain(getattr(case, t))})
        checked(kind, list(kind.explain(few)))


def its_terms_are_declared_and_within_bounds(kind: EvidenceKind) -> None:
    """Every kind of term has a declared weight; strengths are finite and add up to -1 to 1."""
    for seed in SEEDS:
        terms = _terms(kind, seed)
        assert all(math.isfinite(term.strength) for term in terms), "a strength is no finite number"
        checked(kind, terms)


def its_candidates_are_known(kind: EvidenceKind) -> None:
    """A term is about a candidate of the case, never about something that was made up."""
    for seed in SEEDS:
        case = kind.example(seed).case
        known = set(case.candidates) if kind.subject == "node" else {NO_COMMIT, *(c.id for c in case.changes)}
        unknown = {term.candidate for term in kind.explain(case)} - known
        assert not unknown, f"its terms are about {sorted(unknown)}, which are no candidates"


def its_sentences_are_one_printable_line(kind: EvidenceKind) -> None:
    """A human reads them in a list, in a message and in a terminal."""
    for term in _terms(kind, 4):
        sentence = term.sentence
        assert sentence.strip(), f"the sentence of {term.kind} is empty"
        assert sentence.isprintable(), f"the sentence of {term.kind} is no single printable line: {sentence!r}"
        assert len(sentence) <= LONGEST_SENTENCE, f"the sentence of {term.kind} has {len(sentence)} characters"


def hostile_names_survive(kind: EvidenceKind) -> None:
    """Names are foreign: line breaks, markup, format signs and blanks come back as they were, and cost nothing."""
    example = kind.example(5)
    names = dict(zip(example.case.candidates, HOSTILE, strict=False))
    terms = list(kind.explain(renamed(example.case, names)))
    given = {names.get(term.candidate, term.candidate) for term in kind.explain(example.case)}
    assert {term.candidate for term in terms} == given, "with other names, its terms are about other candidates"
    for term in terms:
        evidence = Evidence(kind=term.kind, weight=term.strength, sentence=term.sentence)
        assert evidence.sentence.isprintable()


def it_is_better_than_chance(kind: EvidenceKind) -> None:
    """On its own examples the culprit stands clearly before the middle."""
    places = []
    for seed in SEEDS:
        example = kind.example(seed)
        case = example.case
        commits = (NO_COMMIT, *(change.id for change in case.changes))
        candidates = case.candidates if kind.subject == "node" else commits
        assert example.culprit in candidates, f"the culprit of example {seed} is no candidate"
        scores = dict.fromkeys(candidates, 0.0)
        for term in kind.explain(case):
            name = kind.declared(term.kind)
            if name and term.candidate in scores:
                scores[term.candidate] += kind.weights[name] * term.strength
        own = scores.pop(example.culprit)
        ahead = sum((score > own) + 0.5 * (score == own) for score in scores.values())
        places.append(ahead / len(scores))
    place = float(np.mean(places))
    assert place <= BETTER_THAN_CHANCE, (
        f"the culprit stands at {place:.2f} of the way to the last place; chance is 0.50"
    )


CHECKS: tuple[Check, ...] = (
    it_is_described,
    it_finds_something_in_its_example,
    the_same_case_gives_the_same_terms,
    without_its_tables_there_are_no_terms,
    tables_without_rows_are_no_error,
    its_terms_are_declared_and_within_bounds,
    its_candidates_are_known,
    its_sentences_are_one_printable_line,
    hostile_names_survive,
    it_is_better_than_chance,
)


def _terms(kind: EvidenceKind, seed: int) -> list[Term]:
    return list(kind.explain(kind.example(seed).case))


def _content(case: Case) -> list[Any]:
    """Every array of the case as text."""
    content = []
    for table in TABLES:
        value = getattr(case, table)
        columns = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else [value]
        content.append([c.tolist() if isinstance(c, np.ndarray) else repr(c) for c in columns])
    return content


def _is_plain(value: Any) -> bool:
    """Whether a table is columns alone: rows of spans and counts of past incidents refer to each other."""
    return is_dataclass(value) and not any(hasattr(value, name) for name in ("parent", "counts", "templates"))


def _first_rows(table: Any, rows: int) -> Any:
    columns = {f.name: getattr(table, f.name) for f in fields(table)}
    return replace(table, **{n: c[:rows] for n, c in columns.items() if isinstance(c, np.ndarray)})
