"""`watchkeeper detect` on files, and its quality on recorded series."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.detect_scores import Scored, count, summed
from detectors.commands.detect import app
from detectors.series import decision, recorded, replay

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "detection"
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


ODD = {
    "bom and CRLF": ("\ufefftimestamp,value\r\n2026-01-01T00:00:00Z,1\r\n", 1),
    "offsets": ("timestamp,value\n2026-03-29T01:30:00+01:00,1\n2026-03-29T03:30:00+02:00,2\n", 2),
    "year 1 east of Greenwich": ("timestamp,value\n0001-01-01T00:00:00+05:00,1\n", 1),
    "year 9999 west of Greenwich": ("timestamp,value\n9999-12-31T23:00:00-05:00,1\n", 1),
    "same time": ("timestamp,value\n" + "2026-01-01T00:00:00Z,1\n" * 50, 50),
    "all missing": ("timestamp,value\n2026-01-01T00:00:00Z,\n2026-01-01T00:01:00Z,NaN\n", 2),
    "infinite": ("timestamp,value\n2026-01-01T00:00:00Z,inf\n2026-01-01T00:01:00Z,-1e400\n", 2),
    "no rows": ("timestamp,value\n", 0),
    "more columns": ("host,timestamp,value\na,2026-01-01T00:00:00Z,1\n", 1),
    "blank lines": ("timestamp,value\n\n2026-01-01T00:00:00Z,1\n\n", 1),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_are_scored(tmp_path: Path, kind: str) -> None:
    """One score a row, whatever wrote the file."""
    text, rows = ODD[kind]
    (tmp_path / "a.csv").write_bytes(text.encode())
    done = run.invoke(app, [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "out" / "a.csv").read_text().splitlines()) == rows + 1


def test_rows_out_of_order_are_judged_and_said(tmp_path: Path) -> None:
    """Newest first is scored in its own order, and somebody reads that it may not be meant."""
    write(tmp_path / "a.csv", [f"2026-01-01T{hour:02}:00:00Z,1" for hour in reversed(range(5))])
    done = run.invoke(app, [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "4 of 5 rows are older than the row before them, first 2026-01-01T03:00:00Z" in done.output


@pytest.mark.parametrize("content", [b"\xff\xfet\x00i\x00", b"timestamp,value\n\x00,1\n", b"\x00" * 50, b"\xe9,\xe8\n"])
def test_what_is_no_csv_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    """Binary content and other encodings name the file, and end without a traceback."""
    (tmp_path / "a.csv").write_bytes(content)
    done = run.invoke(app, [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 1
    assert "a.csv" in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timestamp,value\n2026-01-01T00:00:00Z,1_000\n", "a.csv:2: value '1_000' is not a number"),
        ("timestamp,value\n2026-01-01T00:00:00Z,٣\n", "a.csv:2: value '٣' is not a number"),
        ('timestamp,value\n2026-01-01T00:00:00Z,"1,5"\n', "a.csv:2: value '1,5' is not a number"),
        ("timestamp;value\n2026-01-01T00:00:00Z;1\n", "a.csv:1: columns are timestamp;value"),
        ("timestamp,value\n1700000000000000000,1\n", "a.csv:2: timestamp '1700000000000000000' is neither"),
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
        total.append(count(Scored.of(recording, windows[one]), decision.alerts(judged)))
    events = summed(total)
    assert events.f1 >= least_f1
    assert events.false_per_day <= most_false
