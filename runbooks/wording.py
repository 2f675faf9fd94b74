"""A program in words: what a human reads before they approve it."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.bound import BoundStep, bind
from runbooks.placeholders import fill
from runbooks.program import Program, StepSpec, frame
from runbooks.registry import steps
from runbooks.step import AnyStep
from watchkeeper.target import ServiceStatus


def plan_sentences(
    program: Program,
    service: str,
    arguments: Mapping[str, str],
    status: ServiceStatus | None,
    known: Mapping[str, AnyStep] | None = None,
) -> tuple[str, ...]:
    """One sentence a step. What earlier steps will report stands as its placeholder. Raises RunbookError."""
    sentences = []
    for spec in program.steps:
        bound = bound_for_plan(spec, service, arguments, known)
        own = spec.service or service
        sentences.append(frame(bound.plan(own, status if own == service else None), spec))
    return tuple(sentences)


def undo_sentences(
    program: Program, service: str, arguments: Mapping[str, str], known: Mapping[str, AnyStep] | None = None
) -> tuple[str, ...]:
    """What undoing each step would do, in the order of the steps; a step that only reads has nothing to undo."""
    sentences = []
    for spec in program.steps:
        bound = bound_for_plan(spec, service, arguments, known)
        if bound.reads_only:
            sentences.append("nothing to undo")
        else:
            sentences.append(bound.undo_plan(spec.service or service) or "no undo by machine")
    return tuple(sentences)


def bound_for_plan(
    spec: StepSpec, service: str, arguments: Mapping[str, str], known: Mapping[str, AnyStep] | None = None
) -> BoundStep:
    """A step with the inputs that are known before a run. Raises RunbookError."""
    facts = {"mechanism": "", "change": "", **arguments, "service": service}
    inputs = fill(dict(spec.inputs), facts, leave=True)
    return bind(spec.kind, inputs, steps() if known is None else known)
