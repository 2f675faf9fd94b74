"""`watchkeeper bench unattended`: a runbook earns that it may run without a human, and then does, in the whole loop.

1. Starts the shop or the foreign system, and every role. Policy: one runbook, on one service, after some proven runs.
2. The same fault, again and again: the scripted human approves the runbook until experiments have proved it.
3. From then on the human leaves the runbook to the machine. What counts is that it ran, and repaired, without them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.performed import performed, warm_up_s
from chaos.demo.story import Plan, Story
from chaos.registry import fault_named
from runbooks.policy import ProofRule
from runbooks.proof import Proof
from runbooks.proof_rows import proofs
from runbooks.run_rows import Run, recent_runs

TAKES_S: Final = 180.0  # one fault with all that comes after it, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One fault and the run that answered it.

    Attributes:
        proved: whether the policy's proof held when the fault began: then nobody had to approve.
        alone: the policy approved, not a human.
        repaired: the runbook was done and the incident recovered before the fault's own end.
        recovered_s: from the effect of the fault to the recovery.
    """

    proved: bool
    paged: bool
    run: str
    alone: bool
    repaired: bool
    recovered_s: float | None


class Course:
    """The same fault in the same service: `proof` times with a human, then `runs` times without."""

    def __init__(self, plan: Plan, runbook: str, proof: int, runs: int, warm_up_s: float) -> None:
        self._plan = plan
        self._runbook = runbook
        self._proof = proof
        self._runs = runs
        self._warm_up_s = warm_up_s

    def play(self, story: Story) -> tuple[Repair, ...]:
        """Break and watch; with a human until that many runs are proved."""
        story.whole_run_s = self._warm_up_s + (2 * self._proof + self._runs) * TAKES_S
        story.warm_up(self._warm_up_s)
        repairs: list[Repair] = []
        left = 0
        while len(repairs) < 2 * self._proof + self._runs and left < self._runs:
            story.leaves_runbooks = self._is_proved(story)
            began = datetime.now(UTC)
            report = story.break_one(self._plan)
            run = self._run_since(story, began)
            repairs.append(
                Repair(
                    proved=story.leaves_runbooks,
                    paged=report.paged_s is not None,
                    run=run.state if run else "",
                    alone=bool(run and run.autonomous),
                    repaired=bool(report.remediated),
                    recovered_s=report.recovered_s,
                )
            )
            left += story.leaves_runbooks
            story.notify(f"  {repairs[-1]}")
            story.settle()
        return tuple(repairs)

    def _is_proved(self, story: Story) -> bool:
        """As the policy counts it: runs on this service that experiments have judged."""
        since = datetime.now(UTC) - timedelta(days=1)
        proof = proofs(story.loop.db, since).get(self._runbook, Proof()).of(self._plan.service)
        return len(proof.runs) >= self._proof and proof.success_rate >= ProofRule().success_rate

    @staticmethod
    def _run_since(story: Story, at: datetime) -> Run | None:
        return next(iter(recent_runs(story.loop.db, 1, at)), None)


def run(
    *, system: str, root: Path, seed: int, fault: str, service: str, runbook: str, proof: int, runs: int, as_json: bool
) -> None:
    """Play the course and print what it has shown.

    Raises:
        ChaosError: there is no such system or fault, or a program of the foreign system is missing.
    """
    course = Course(Plan(fault=fault_named(fault), service=service), runbook, proof, runs, warm_up_s(system))
    policy = {
        "runbooks": [runbook],
        "services": [service],
        "proof": {"runs": proof},
        "rate": {"runs": 100},  # a day's faults within minutes
    }
    repairs, data_dir = performed(system, root, seed, course.play, policy)
    if as_json:
        print(json.dumps({"repairs": [asdict(one) for one in repairs], "data_dir": data_dir}, indent=2))
    else:
        print(table(repairs))
        print(f"data: {data_dir}")


def table(repairs: tuple[Repair, ...]) -> str:
    """A line a fault, and the count that matters."""
    lines = ["   approved by  run      repaired  recovered after"]
    for number, one in enumerate(repairs, 1):
        by = "policy" if one.alone else "human" if one.run else "nobody"
        after = "–" if one.recovered_s is None else f"{one.recovered_s:.0f} s"
        lines.append(f"{number:>2} {by:<12} {one.run or '–':<8} {'yes' if one.repaired else 'no':<9} {after}")
    left = [one for one in repairs if one.proved]
    early = sum(one.alone for one in repairs if not one.proved)
    lines.append(
        f"after the proof: {sum(one.alone and one.repaired for one in left)} of {len(left)} repaired unattended"
    )
    lines.append(f"before it: {early} of {len(repairs) - len(left)} ran without a human")
    return "\n".join(lines)
