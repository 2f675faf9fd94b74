"""What a runbook does, as data: its steps with inputs, conditions, time-outs and retries.

A proposal carries the program as text: that is what a human approves, and what runs, whatever becomes of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from runbooks.condition import Facts, read_condition
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal

# A run that takes longer is not repairing anything any more. A runbook with a question waits for its answer.
RUN_TIMEOUT_S: Final = 3600.0
MOST_STEPS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a step that failed is tried again, and after which pause; each pause is `factor` times the last."""

    times: int = 0
    pause_s: float = 2.0
    factor: float = 2.0

    def pause_before(self, attempt: int) -> float:
        """Seconds before an attempt; the first is number 0, and has none."""
        return self.pause_s * self.factor ** (attempt - 1) if attempt else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step of a runbook.

    Attributes:
        kind: the name of a registered step.
        inputs: as written, with placeholders.
        id: by which later steps refer to it; empty: none does.
        when: a condition (see `runbooks.condition`); None: always.
        service: the service it acts on; empty: the proposal's.
        timeout_s: from its first attempt on, also across restarts; None: the run's alone.
    """

    kind: str
    inputs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    id: str = ""
    when: Mapping[str, Any] | None = None
    service: str = ""
    timeout_s: float | None = None
    retries: Retries = Retries()

    @property
    def is_plain(self) -> bool:
        """Whether its name says everything."""
        return self == StepSpec(kind=self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Steps in order, and how many seconds a run of them may take."""

    steps: tuple[StepSpec, ...]
    timeout_s: float = RUN_TIMEOUT_S

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(step.kind for step in self.steps)

    def services(self, service: str) -> frozenset[str]:
        """Every service that it acts on, for a proposal about one."""
        return frozenset(step.service or service for step in self.steps)


def program_text(program: Program) -> str:
    """A program as text; empty where the names of its steps say everything."""
    if program.timeout_s == RUN_TIMEOUT_S and all(step.is_plain for step in program.steps):
        return ""
    return json.dumps(program_tree(program), sort_keys=True)


def program_tree(program: Program) -> dict[str, Any]:
    """A program as JSON values, without what has its default."""
    steps = []
    for step in program.steps:
        known = asdict(StepSpec(kind=step.kind, inputs={}))
        given = asdict(replace(step, inputs=json.loads(json.dumps(dict(step.inputs)))))
        steps.append({"kind": step.kind} | {key: value for key, value in given.items() if value != known[key]})
    return {"timeout_s": program.timeout_s, "steps": steps}


def program_of(proposal: Proposal, planned: tuple[str, ...] = ()) -> Program:
    """What a proposal would do; one without a program takes the steps that `actions` names.

    `planned` are those of its run, for a proposal of an earlier version, which named none.

    Raises:
        RunbookError: its text was written by another version, or by hand.
    """
    if not proposal.program:
        return Program(steps=tuple(StepSpec(kind=name) for name in proposal.actions or planned))
    try:
        tree = json.loads(proposal.program)
        steps = tuple(
            StepSpec(**(step | ({"retries": Retries(**step["retries"])} if "retries" in step else {})))
            for step in tree["steps"]
        )
        return Program(steps=steps, timeout_s=float(tree["timeout_s"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RunbookError(f"the steps of {proposal.runbook} cannot be read: {error!r}") from error


def suspect_facts(proposal: Proposal, run_id: str = "") -> dict[str, str | int | float | bool]:
    """What conditions and placeholders know before any step ran."""
    known: Facts = {"mechanism": "", "change": "", **proposal.arguments}
    return {**known, "service": proposal.service, "runbook": proposal.runbook, "run": run_id}


def frame(sentence: str, step: StepSpec) -> str:
    """A step's plan with what its runbook adds: its condition, retries and time-out."""
    extras = []
    if step.when:
        extras.append(f"if {read_condition(step.when)}")
    if step.retries.times:
        extras.append(f"up to {step.retries.times + 1} times")
    if step.timeout_s is not None:
        extras.append(f"within {step.timeout_s:g} s")
    return f"{sentence} ({'; '.join(extras)})" if extras else sentence
