"""`watchkeeper detect`: score recorded series for anomalies."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detectors.series import decision, recorded, replay
from detectors.series.feedback import judge_with_labels
from watchkeeper.command_options import AsJson
from watchkeeper.errors import DetectorError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Example: watchkeeper detect recordings/ --out scores/\n\n"
    "Exit status: 0 every series is scored; 1 some could not be read: each is named, the others are scored."
)
def detect(
    data: Annotated[Path, typer.Argument(help="A CSV with the columns timestamp,value, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; one CSV a series, under the same name.")],
    feedback: Annotated[
        Path | None,
        typer.Option(help="Labels (JSON) to learn from: once an alert was raised, or a labelled window has ended."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score recorded series for anomalies, causally: a row is judged by itself and earlier rows.

    Each series becomes a CSV with the columns timestamp, anomaly_score (0 to 1; 0.999 is what a normal row reaches
    once in a thousand) and alert (0 or 1). One configuration serves every series.
    """
    series = recorded.files(data)
    known_labels = recorded.labels(feedback, [name for name, _ in series]) if feedback else {}
    if out.exists() and not out.is_dir():
        raise DetectorError(f"{out} is a file; --out wants a folder")
    started, rows, alerts = time.perf_counter(), 0, 0
    failed: list[str] = []
    for i, (name, path) in enumerate(series):
        try:
            recording = recorded.read(name, path)
        except DetectorError as error:
            failed.append(name)
            print(error.message, file=sys.stderr)
            continue
        if disorder := recording.out_of_order():
            print(f"{path}: {disorder}", file=sys.stderr)
        if (out / name).resolve() == path.resolve():
            raise DetectorError(f"{path} would be overwritten; give --out another folder")
        # The matrices are small: more threads than one only wait for each other.
        with threadpool_limits(1):
            if feedback:
                rare, flags = judge_with_labels(recording.at_s, recording.values, known_labels[name])
            else:
                judged = replay.rarity(recording.at_s, recording.values)
                rare, flags = judged.decades, decision.alerts(judged)
        recorded.write(out / name, recording, decision.score(rare), flags)
        rows += recording.values.size
        alerts += int(flags.sum())
        if sys.stderr.isatty():
            print(f"\r{i + 1}/{len(series)} series, {rows:,} rows", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    seconds = time.perf_counter() - started
    scored = len(series) - len(failed)
    if as_json:
        summary = {"series": scored, "rows": rows, "alerts": alerts, "seconds": round(seconds, 3), "failed": failed}
        print(json.dumps(summary))
    else:
        left = f"; {len(failed)} could not be read" if failed else ""
        print(f"{scored} series, {rows:,} rows, {alerts} alerts in {seconds:.1f} s → {out}{left}")
    raise typer.Exit(1 if failed else 0)
