"""Weights: what all of the signal of each kind of term adds to a score.

The defaults are declared by the kinds of evidence themselves. They were chosen on the development packs and checked
across systems (docs/benchmarks.md has the figures): symptoms at their origin weigh most; a busy processor or a surge of
log lines tips the scale. The same defaults serve every system, live and offline. A file of weights overrides some of
them: a JSON object `{"weights": {"errors": 2.5, …}}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rca.evidence_kind import EvidenceKind, declared
from watchkeeper.errors import DiagnosisError

# A smaller share of a kind's signal is noise: it is neither counted nor shown. Chosen so that an explanation of the
# development packs keeps every term of more than a twentieth of a unit.
NEGLIGIBLE: Final = 0.02


class UnknownWeight(DiagnosisError):
    """A term, or a file of weights, names a kind that no kind of evidence declares."""


def defaults(kinds: Iterable[EvidenceKind]) -> dict[str, float]:
    """The declared weights of all kinds."""
    return {name: weight for kind in kinds for name, weight in kind.weights.items()}


def complete(default: Mapping[str, float], overrides: Mapping[str, float] | None) -> dict[str, float]:
    """The defaults with `overrides` in their place.

    Raises:
        UnknownWeight: an override has no default.
    """
    for name in overrides or {}:
        if declared(name, default) is None:
            raise UnknownWeight(
                f"there is no kind of term {name!r} to give a weight to; declared are: {', '.join(sorted(default))}"
            )
    return {**default, **(overrides or {})}


def known_only(weights: Mapping[str, float], default: Mapping[str, float]) -> dict[str, float]:
    """The weights that a declared kind still has."""
    return {name: weight for name, weight in weights.items() if declared(name, default) is not None}


def weight_of(kind: str, weights: Mapping[str, float]) -> float:
    """The weight of a term's kind.

    Raises:
        UnknownWeight: no declared name covers it.
    """
    name = declared(kind, weights)
    if name is None:
        raise UnknownWeight(
            f"the kind of term {kind!r} has no declared weight; add it to `weights` of its EvidenceKind"
        )
    return weights[name]


def parse(text: str, where: str) -> dict[str, float]:
    """Weights from the text of a file.

    Raises:
        DiagnosisError: it is no JSON object of finite numbers; `where` names it.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DiagnosisError(f"{where} is no JSON: {error}") from error
    weights = document.get("weights") if isinstance(document, dict) else None
    if not isinstance(weights, dict):
        raise DiagnosisError(f'{where} must be an object with "weights": names of kinds of terms, each with a number')
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise DiagnosisError(f"{where}: the weight of {name!r} must be a finite number, not {weight!r}")
    return {str(name): float(weight) for name, weight in weights.items()}


def read_weights(path: Path) -> dict[str, float]:
    """Weights from a file.

    Raises:
        DiagnosisError: it cannot be read, or holds no weights.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosisError(f"{path} cannot be read: {error}") from error
