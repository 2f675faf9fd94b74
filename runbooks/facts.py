"""What conditions and placeholders of a run can use: the suspect, and what earlier steps reported."""

from __future__ import annotations

from runbooks.program import Program, suspect_facts
from runbooks.run_rows import Run


def run_facts(run: Run, program: Program) -> dict[str, str | int | float | bool]:
    """Every name that is known now, with its value."""
    facts = suspect_facts(run.proposal, run.id)
    for step, spec in zip(run.steps, program.steps, strict=True):
        if spec.id and step.state != "planned":
            facts[f"steps.{spec.id}"] = step.state
            facts |= {f"outputs.{spec.id}.{name}": value for name, value in step.notes.outputs.items()}
    return facts
