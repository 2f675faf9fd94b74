"""`watchkeeper detect` on files, and its quality on recorded series."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from detectors.series import decision, recorded, replay
from watchkeeper.bench.detect_scores import Scored, count, summed
from watchkeeper.cli.detect import app

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "detection"
run = CliRunner()


def write(path: Path, rows: list[str]) -> None:
    """A CSV with its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["timestamp,value", *rows]) + "\n")


def test_each_row_gets_a_score_and_an_alert(tmp_path: Path) -> None:
    """Same names, same order, the timestamps as they were written."""
    rows = [f"2026-11-25 {hour:02}:00:00,{hour % 3}" for hour in range(24)]
    write(tmp_path / "in" / "shop" / "cpu.csv", rows)
    assert run.invoke(app, [str(tmp_path / "in"), "--out", str(tmp_path / "out")]).exit_code == 0
    found = list(csv.DictReader((tmp_path / "out" / "shop" / "cpu.csv").read_text().splitlines()))
    assert [row["timestamp"] for row in found] == [row.split(",")[0] for row in rows]
    assert all(0 <= float(row["anomaly_score"]) <= 1 and row["alert"] in "01" for row in found)


def test_missing_values_duplicates_and_steps_back_keep_their_rows(tmp_path: Path) -> None:
    """Nothing is dropped or re-ordered."""
    write(
        tmp_path / "a.csv",
        ["2026-01-01T01:00:00Z,1", "2026-01-01T01:00:00Z,", "2026-01-01T00:00:00Z,nan", "2026-01-01T03:00:00Z,inf"],
    )
    assert run.invoke(app, [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]).exit_code == 0
    assert len((tmp_path / "out" / "a.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,value\n", "a.csv:1: columns are time,value"),
        ("timestamp,value\n2026-01-01,1\nyesterday,2\n", "a.csv:3: timestamp 'yesterday'"),
        ("timestamp,value\n2026-01-01,many\n", "a.csv:2: value 'many'"),
        ("timestamp,value\n2026-01-01\n", "a.csv:2: 1 fields"),
    ],
)
def test_bad_input_is_named_by_file_and_line_and_the_rest_goes_on(tmp_path: Path, text: str, says: str) -> None:
    """One line that says where and what; the other series are scored, and the exit status tells."""
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text("timestamp,value\n2026-01-01,1\n2026-01-02,2\n")
    result = run.invoke(app, [str(tmp_path), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 1
    assert says in result.stderr
    assert not (tmp_path / "out" / "a.csv").exists()
    assert len((tmp_path / "out" / "b.csv").read_text().splitlines()) == 3


def test_plain_numbers_are_unix_times(tmp_path: Path) -> None:
    """Seconds and milliseconds give the same scores as the times that they stand for."""
    stamps = {"iso": [f"2026-01-01T00:{minute:02d}:00Z" for minute in range(60)]}
    stamps["seconds"] = [str(1767225600 + 60 * minute) for minute in range(60)]
    stamps["millis"] = [f"{stamp}000" for stamp in stamps["seconds"]]
    scores = set()
    for name, times in stamps.items():
        rows = [f"{stamp},{number % 7 + (number == 50) * 100}" for number, stamp in enumerate(times)]
        (tmp_path / f"{name}.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
        assert run.invoke(app, [str(tmp_path / f"{name}.csv"), "--out", str(tmp_path / "out")]).exit_code == 0
        written = (tmp_path / "out" / f"{name}.csv").read_text().splitlines()[1:]
        scores.add(tuple(line.split(",", 1)[1] for line in written))
    assert len(scores) == 1


def test_labels_are_not_read_without_feedback(tmp_path: Path) -> None:
    """The same scores with and without a labels file beside the data."""
    noise = np.random.default_rng(0).normal(size=400)
    write(
        tmp_path / "in" / "data" / "a.csv",
        [f"2026-01-{1 + i // 24:02} {i % 24:02}:00:00,{v}" for i, v in enumerate(noise)],
    )
    run.invoke(app, [str(tmp_path / "in"), "--out", str(tmp_path / "one")])
    (tmp_path / "in" / "labels.json").write_text(json.dumps({"a.csv": [["2026-01-02", "2026-01-09"]]}))
    run.invoke(app, [str(tmp_path / "in"), "--out", str(tmp_path / "two")])
    assert (tmp_path / "one" / "a.csv").read_text() == (tmp_path / "two" / "a.csv").read_text()


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded series are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "least_f1", "most_false"),
    [("nab", 0.48, 0.07), ("cloudmon", 0.64, 0.05)],
)
def test_quality_on_recorded_series_does_not_drop(name: str, least_f1: float, most_false: float) -> None:
    """All but the longest series: event F1 and false pages a day stay where they were measured, with some room."""
    series = recorded.files(RECORDED / name)
    windows = recorded.labels(RECORDED / name, [one for one, _ in series])
    total = []
    for one, path in series:
        recording = recorded.read(one, path)
        if recording.values.size > 2_600:  # the long ones take most of the time
            continue
        judged = replay.rarity(recording.at_s, recording.values)
        total.append(count(Scored.of(recording, windows[one]), decision.alerts(judged.hours, judged.decades)))
    events = summed(total)
    assert events.f1 >= least_f1
    assert events.false_per_day <= most_false
