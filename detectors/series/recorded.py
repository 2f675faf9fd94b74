"""Recorded series as files: CSV with the columns timestamp and value, one row a sample."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from watchkeeper.errors import DetectorError

# Ten digits and more: shorter ones are dates of ISO 8601 without their dashes.
UNIX = re.compile(r"\d{10,13}(\.\d+)?")
LATEST_UNIX_S = 1e11  # what is larger are milliseconds
MISSING = frozenset({"", "nan", "na", "null", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded series.

    Attributes:
        name: the file below its folder, with forward slashes.
        stamps: the timestamps as they were written.
        at_s: (n,) Unix seconds; times without a zone are read as UTC, plain numbers as Unix seconds or milliseconds.
        values: (n,) NaN where missing.
    """

    name: str
    stamps: Sequence[str]
    at_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]

    def out_of_order(self) -> str:
        """How many rows are older than the row before them, in words; empty where none is."""
        back = np.flatnonzero(np.diff(self.at_s) < 0)
        if back.size == 0:
            return ""
        return (
            f"{back.size:,} of {self.at_s.size:,} rows are older than the row before them, "
            f"first {self.stamps[back[0] + 1]}; rows are judged in the file's order. "
            "Sort it by time, oldest first, unless that is meant."
        )


def files(data: Path) -> list[tuple[str, Path]]:
    """The series under `data`: (name, file), sorted. A folder `data` inside it is taken as their root."""
    if data.is_file():
        return [(data.name, data)]
    if not data.is_dir():
        raise DetectorError(f"{data}: no such file or folder")
    root = data / "data" if (data / "data").is_dir() else data
    series = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.csv"))
    if not series:
        raise DetectorError(f"{root}: no .csv file; each series is a CSV with the columns timestamp,value")
    return series


def read(name: str, path: Path) -> Recording:
    """Read one series; an error names the file, the line and what is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            try:
                time, value = header.index("timestamp"), header.index("value")
            except ValueError:
                raise DetectorError(
                    f"{path}:1: columns are {','.join(header) or 'none'}; want timestamp,value"
                ) from None
            stamps, at, values = [], [], []
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DetectorError(f"{path}:{rows.line_num}: {len(row)} fields, the header has {len(header)}")
                stamps.append(row[time])
                at.append(_seconds(row[time], path, rows.line_num))
                values.append(_number(row[value], path, rows.line_num))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DetectorError(f"{path}: {error}") from error
    return Recording(name=name, stamps=stamps, at_s=np.array(at, np.float64), values=np.array(values, np.float64))


def labels(path: Path, names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Labelled windows by series, (start, end) in Unix seconds, both inclusive, sorted.

    The file is JSON: {"<series>": [["<start>", "<end>"], ...]}. A folder stands for its labels.json.
    """
    file = path / "labels.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DetectorError(f"{file}: {error}") from error
    if not isinstance(content, dict):
        raise DetectorError(f"{file}: want an object of window lists, by series")
    windows_of = {}
    for name in names:
        windows = content.get(name, [])
        if not isinstance(windows, list):
            raise DetectorError(f"{file}: {name}: want a list of [start, end]")
        windows_of[name] = sorted(_window(window, file, name) for window in windows)
    return windows_of


def write(path: Path, recording: Recording, scores: npt.NDArray[np.float64], alert: npt.NDArray[np.bool_]) -> None:
    """Write a series' scores and alerts, one row a sample, in the order of the recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f"{stamp},{score:.9g},{flag:d}\n"
        for stamp, score, flag in zip(_quoted(recording.stamps), scores.tolist(), alert.tolist(), strict=True)
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("timestamp,anomaly_score,alert\n")
        file.writelines(lines)


def _quoted(stamps: Sequence[str]) -> Iterator[str]:
    for stamp in stamps:
        yield f'"{stamp}"' if "," in stamp else stamp


def _window(window: object, file: Path, name: str) -> tuple[float, float]:
    if not (isinstance(window, list) and len(window) == 2):
        raise DetectorError(f"{file}: {name}: want a list of [start, end]")
    start, end = (_seconds(str(edge), file, None) for edge in window)
    if end < start:
        raise DetectorError(f"{file}: {name}: a window ends before it starts: {window[0]} to {window[1]}")
    return start, end


def _seconds(text: str, path: Path, line: int | None) -> float:
    plain = text.strip()
    if UNIX.fullmatch(plain):
        return float(plain) / (1000.0 if float(plain) > LATEST_UNIX_S else 1.0)
    try:
        at = datetime.fromisoformat(plain)
    except ValueError:
        place = f"{path}:{line}" if line else str(path)
        raise DetectorError(
            f"{place}: timestamp {text!r} is neither ISO 8601, such as 2026-11-25T03:12:00Z, nor Unix seconds"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(text: str, path: Path, line: int) -> float:
    try:
        # float() takes 1_000 and ٣, which other programs do not mean as numbers.
        return float(text if "_" not in text and text.isascii() else "?")
    except ValueError:
        if text.strip().lower() in MISSING:
            return float("nan")
        raise DetectorError(f"{path}:{line}: value {text!r} is not a number; leave it empty when missing") from None
