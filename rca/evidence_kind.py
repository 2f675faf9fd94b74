"""A kind of evidence: a pure function from one incident to terms, what it reads, and what its terms add to a score.

A package brings its own kind by one module and one entry point in the group `watchkeeper.evidence`:

    EVIDENCE = EvidenceKind(explain=full_queues, weights={"full_queue": 2.0}, needs=frozenset({"series"}))

The engine sums `weight × strength` over all terms of a candidate. `weights` holds the default of each kind of term, an
operator's or a trained file of weights overrides it, and a term without a declared weight is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from rca.case import Case
from rca.example_cases import Example, example_case
from rca.terms import Term

Table = Literal[
    "flows",
    "metered",
    "metered_links",
    "links",
    "spans",
    "span_logs",
    "unanswered",
    "series",
    "heartbeats",
    "logs",
    "past",
    "changes",
    "calls",
    "alerts",
    "limits",
    "alert_texts",
]
TABLES: Final[tuple[Table, ...]] = get_args(Table)
# Which candidates the terms are about: what can be blamed for an incident, or the commits of the case.
Subject = Literal["node", "commit"]
NO_COMMIT: Final = "none"  # the candidate of an incident that no commit caused
LONGEST_NAME: Final = 40  # of a kind of term: it stands in a column of the explanation


class Explain(Protocol):
    """What a kind of evidence finds in one incident; the same case always gives the same terms."""

    def __call__(self, case: Case, /) -> Sequence[Term]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceKind:
    """One kind of evidence.

    Attributes:
        explain: the function. It reads nothing but the case, and never raises for a case that is valid.
        weights: what all of the signal of each kind of term adds to a score; negative for evidence against. A term's
            kind is a name in here, or such a name with a detail after a space (`rare` covers `rare cpu up`).
        needs: tables without which there are no terms.
        reads: tables of which one is enough, where `needs` is empty; beside `needs`, what it also reads.
        metrics: names of metrics that it reads from `series`: a live diagnosis reads these beside the metrics that
            measure a resource (CPU, memory, …). A series with attributes is named `name {attributes}`.
        subject: what the candidates of its terms are.
        needs_symptoms: the terms explain symptoms and are none: they count as far as their candidate has other terms.
        offline: why a live diagnosis never has the tables for it; empty where it has.
        example: made-up incidents by seed, with their culprit, on which the conformance suite tries it.

    Raises:
        TypeError: `explain` cannot be called.
        ValueError: no weight, a weight that is no number, a name that is no short printable line, an unknown table, or
            neither `needs` nor `reads`.
    """

    explain: Explain
    weights: Mapping[str, float]
    needs: frozenset[Table] = frozenset()
    reads: frozenset[Table] = frozenset()
    metrics: frozenset[str] = frozenset()
    subject: Subject = "node"
    needs_symptoms: bool = False
    offline: str = ""
    example: Callable[[int], Example] = example_case

    def __post_init__(self) -> None:
        if not callable(self.explain):
            raise TypeError("explain must be a function from a case to terms")
        if not self.weights:
            raise ValueError("weights must name at least one kind of term with its default weight")
        for name, weight in self.weights.items():
            if not name or name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
                raise ValueError(f"weights: {name!r} must be one printable line of 1 to {LONGEST_NAME} characters")
            if not math.isfinite(weight):
                raise ValueError(f"weights: the weight of {name!r} must be a finite number, not {weight!r}")
        unknown = sorted((self.needs | self.reads) - set(TABLES))
        if unknown:
            raise ValueError(f"there is no table {', '.join(unknown)}; the tables are {', '.join(TABLES)}")
        if not self.needs and not self.reads:
            raise ValueError(f"needs or reads must name the tables that it reads, of {', '.join(TABLES)}")
        if self.subject not in get_args(Subject):
            raise ValueError(f"subject must be node or commit, not {self.subject!r}")

    @property
    def described_by(self) -> Explain:
        """Whose docstring describes this kind."""
        return self.explain

    def applies(self, case: Case) -> bool:
        """Whether the case has the tables that this kind needs."""
        if self.needs:
            return all(case.has(table) for table in self.needs)
        return any(case.has(table) for table in self.reads)

    def declared(self, kind: str) -> str | None:
        """The declared name that covers a term's kind; None if none does."""
        return declared(kind, self.weights)


def declared(kind: str, names: Mapping[str, float]) -> str | None:
    """The name among `names` that covers a term's kind: itself, or its first word; None if neither is there."""
    if kind in names:
        return kind
    family = kind.partition(" ")[0]
    return family if family in names else None
