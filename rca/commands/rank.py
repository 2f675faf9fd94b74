"""`watchkeeper rca PACK`: rank the suspects of recorded incidents."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from watchkeeper.errors import DiagnosisError
from watchkeeper.text import prose, seen_name

if TYPE_CHECKING:
    from rca.engine import Engine
    from rca.packs.predict import Field
    from rca.packs.reader import Pack


def rank(
    pack: Annotated[Path, typer.Argument(help="Directory with cases.jsonl and telemetry.")],
    out: Annotated[Path | None, typer.Option(help="Write one JSON line a case. Default: standard output.")] = None,
    field: Annotated[str, typer.Option(help="What to rank: service, instance or commit.")] = "service",
    explain: Annotated[str | None, typer.Option(help="Explain one case, by its id, and write nothing.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = min(os.cpu_count() or 1, 8),
    weights: Annotated[
        Path | None, typer.Option(help="Weights to use in place of the defaults, from `watchkeeper rca train`.")
    ] = None,
) -> None:
    """Rank every candidate of every case of a pack. Notes on the data and progress go to stderr."""
    from rca.engine import Engine
    from rca.packs.predict import predict_all
    from rca.packs.reader import Pack
    from rca.registry import read_evidence
    from rca.weights import read_weights

    if field not in ("service", "instance", "commit"):
        raise typer.BadParameter("must be service, instance or commit", param_hint="--field")
    what = cast("Field", field)
    overrides = read_weights(weights) if weights else None
    registry = read_evidence()
    engine = Engine(registry.values(), overrides)
    for broken in registry.broken:
        print(f"the evidence {broken.name} of {broken.origin} is left out: {broken.reason}", file=sys.stderr)
    opened = Pack(pack)
    for problem in opened.problems:
        print(f"{pack}/{problem}", file=sys.stderr)
    if explain is not None:
        _explain(opened, explain, what, engine)
        return
    order = {header.id: number for number, header in enumerate(opened.headers)}
    done, failed = [], 0
    for prediction in predict_all(pack, what, jobs, overrides):
        done.append(prediction)
        for note in prediction.notes:
            print(f"{prediction.id}: {note}", file=sys.stderr)
        if prediction.failed:
            failed += 1
            print(f"{prediction.id}: not ranked: {prediction.failed}", file=sys.stderr)
        if sys.stderr.isatty() or len(done) % 50 == 0 or len(done) == len(order):
            print(f"{len(done)} of {len(order)} cases", file=sys.stderr, end="\r" if sys.stderr.isatty() else "\n")
    rows = [
        json.dumps(
            {
                "id": one.id,
                "ranking": list(one.ranking),
                "probability": round(one.probability, 4),
                "mechanism": one.mechanism,
            }
        )
        for one in sorted(done, key=lambda one: order[one.id])
        if not one.failed
    ]
    text = "".join(f"{row}\n" for row in rows)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
    if failed or opened.problems:
        raise typer.Exit(1)


def _explain(pack: Pack, case: str, what: Field, engine: Engine) -> None:
    from rca.packs.predict import predict

    header = next((header for header in pack.headers if header.id == case), None)
    if header is None:
        raise DiagnosisError(f"the pack has no case {case!r}")
    prediction = predict(pack, header, what, engine)
    for note in prediction.notes:
        print(f"note: {note}")
    if prediction.failed:
        raise DiagnosisError(f"{case} is not ranked: {prediction.failed}")
    for place, one in enumerate(prediction.ranked[:5], 1):
        who = seen_name(one.candidate)
        print(f"{place}. {who}  score {one.score:.2f}, chance {one.probability:.0%}, {one.mechanism}")
        for weight, term in one.terms:
            print(f"     {weight:+.2f} {term.kind}: {prose(term.sentence)}")
    print(f"{len(prediction.ranked)} candidates in all")
