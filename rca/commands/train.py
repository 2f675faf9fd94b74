"""`watchkeeper rca train`: weights from the labels of recorded incidents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.errors import DiagnosisError


def train(
    packs: Annotated[list[Path], typer.Argument(help="Directories with cases.jsonl, telemetry and labels.jsonl.")],
    out: Annotated[Path, typer.Option(help="The file to write, for `watchkeeper rca PACK --weights FILE`.")],
    commits: Annotated[bool, typer.Option("--commits", help="Learn to rank commits instead of services.")] = False,
) -> None:
    """Train weights on labelled packs, with the default weights as prior, and show what they change."""
    from rca.learning.judged import JudgedCase, accuracy
    from rca.learning.packs import judged_packs
    from rca.learning.training import held_out
    from rca.learning.training import train as trained
    from rca.registry import read_engine
    from rca.weights import weight_of

    engine = read_engine()
    cases: list[JudgedCase] = []
    for pack in packs:
        judged = list(judged_packs(pack, engine, commit=commits))
        print(f"{pack}: {len(judged)} labelled cases", file=sys.stderr)
        cases += judged
    if not cases:
        raise DiagnosisError("there is nothing to train on: no case of these packs has a label")
    weights = trained(cases, engine.weights)
    changed = {name: weight for name, weight in weights.items() if weight != weight_of(name, engine.weights)}
    before = accuracy([case.right(engine.weights) for case in cases])
    after = accuracy(list(held_out(cases, engine.weights).values()))
    record = {
        "weights": changed,
        "cases": {str(pack): sum(case.source == pack.name for case in cases) for pack in packs},
        "AC@1": {"default weights": round(before, 4), "trained on the other cases": round(after, 4)},
    }
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, weight in sorted(changed.items()):
        print(f"{name:<16} {weight_of(name, engine.weights):>6.2f} → {weight:.2f}")
    print(f"AC@1 on {len(cases)} cases: {before:.3f} by the default weights, {after:.3f} by weights of the other cases")
