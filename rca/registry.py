"""The registered kinds of evidence: built-in ones and those of other packages, by entry point.

Two kinds may declare the same name of a term, as with and without a call graph, but only with the same weight:
otherwise the later one is left out and named as broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from types import MappingProxyType

from rca.engine import Engine
from rca.evidence_kind import EvidenceKind
from watchkeeper.parts import BrokenPart, Part, Registry, read_registry

KIND = "evidence"


def read_evidence(declared: Iterable[EntryPoint] | None = None) -> Registry[EvidenceKind]:
    """Every registered kind of evidence by name; `declared` are entry points to use instead of the installed ones."""
    registry = read_registry(KIND, accept, declared)
    parts: dict[str, Part[EvidenceKind]] = {}
    owners: dict[str, str] = {}
    broken = list(registry.broken)
    weights: dict[str, float] = {}
    for name, part in registry.parts.items():
        clash = next((w for w, value in part.value.weights.items() if weights.get(w, value) != value), None)
        if clash is not None:
            reason = f"the term {clash!r} has another weight in {owners[clash]}; choose another name for it"
            broken.append(BrokenPart(kind=KIND, name=name, origin=part.origin, reason=reason))
            continue
        parts[name] = part
        weights |= part.value.weights
        owners |= {term: owners.get(term, f"{name} of {part.origin}") for term in part.value.weights}
    return Registry(kind=KIND, parts=MappingProxyType(parts), broken=tuple(broken))


def read_engine(weights: Mapping[str, float] | None = None) -> Engine:
    """The engine with every registered kind of evidence.

    Raises:
        UnknownWeight: `weights` names what no kind declares.
    """
    return Engine(read_evidence().values(), weights)


def accept(name: str, loaded: object) -> EvidenceKind:
    """The entry point's object, if it is a kind of evidence.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(loaded, EvidenceKind):
        raise TypeError(f"{name} must name an rca.evidence_kind.EvidenceKind, not {type(loaded).__name__}")
    return loaded
