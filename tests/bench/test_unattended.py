"""The table of unattended repairs counts what the policy let run, and what it let run too early."""

from __future__ import annotations

from dataclasses import replace

from bench.unattended import Repair, table

BY_HUMAN = Repair(proved=False, paged=True, run="done", alone=False, repaired=True, recovered_s=21.0)
ALONE = replace(BY_HUMAN, proved=True, alone=True)


def test_it_counts_before_and_after_the_proof() -> None:
    """A human's run after the proof is none of the machine's, and a run that failed is no repair."""
    failed = replace(ALONE, run="failed", repaired=False, recovered_s=None)
    nobody = replace(ALONE, run="", alone=False, repaired=False, recovered_s=None)
    lines = table((BY_HUMAN, BY_HUMAN, ALONE, failed, nobody)).splitlines()
    assert [line.split()[1] for line in lines[1:6]] == ["human", "human", "policy", "policy", "nobody"]
    assert lines[-2:] == ["after the proof: 1 of 3 repaired unattended", "before it: 0 of 2 ran without a human"]


def test_a_run_without_a_human_before_the_proof_shows() -> None:
    """It must never happen: then it is the line that says so."""
    assert table((replace(ALONE, proved=False),)).endswith("before it: 1 of 1 ran without a human")
