"""`watchkeeper bench detect`: our detectors beside other libraries, in the same run on the same data.

Peers come from the development extras and are imported late; one that is missing is left out, and the table says so.
Each peer gets the one threshold that is best for it on these very series, which ours does not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench import detect_drift, detect_halves, detect_logs, detect_tick
from bench.detect_scores import Events, Scored, average_precision, count, summed
from detectors.series import decision, recorded, replay
from detectors.series.bank import SeriesBank
from detectors.series.feedback import judge_with_labels
from watchkeeper.errors import DetectorError

Floats = npt.NDArray[np.float64]
Row = dict[str, str | float | None]

PLACES: Final = (Path("data/detection"), Path("../shared/data/detection"))
NO_SERIES: Final = "no recorded series: give --data a folder that holds <set>/data/**.csv and <set>/labels.json"
BANK_SERIES: Final = 10_000
BANK_TICKS: Final = 200
DEAR_ROWS: Final = 20_000
LAGS: Final = 12
QUIET_H: Final = 8.0  # peers get the same silence after an alert


def run_halves(data: Path | None, as_json: bool, seed: int) -> None:
    """Choose on random halves of the recorded series, score on the others; print a table or JSON."""
    sets = _sets(data)
    if not sets:
        raise DetectorError(NO_SERIES)
    found = {f"halves of the categories, seed {seed}": detect_halves.rows(sets, seed)}
    print(json.dumps(found, indent=1) if as_json else _table(found))


def run(data: Path | None = None, as_json: bool = False, longest: int | None = None) -> None:
    """Measure quality (if recorded series are there), speed, a tick, drift and log templates; print a table or JSON."""
    found: dict[str, list[Row]] = {}
    sets = _sets(data)
    if not sets:
        _say(NO_SERIES)
    for folder in sets:
        _say(f"{folder.name}: scoring")
        found[f"series: {folder.name}"] = list(_quality(folder, longest))
    _say("speed")
    found["speed"] = list(_speed())
    _say("tick")
    found["tick every 10 s, the store's query included"] = detect_tick.tick_rows()
    _say("drift")
    found["drift: false alarms in 10,000 values, median delay in values"] = detect_drift.rows()
    _say("templates")
    found["log templates"] = detect_logs.rows()
    print(json.dumps(found, indent=1) if as_json else _table(found))


def _sets(data: Path | None) -> list[Path]:
    """The folders of labelled series; none where there are no recordings at all.

    Raises:
        DetectorError: a folder of recordings holds no set.
    """
    place = data or next((place for place in PLACES if place.is_dir()), None)
    if place is None:
        return []
    sets = sorted(folder for folder in place.iterdir() if (folder / "labels.json").is_file())
    if not sets:
        raise DetectorError(f"{place}: no <set>/labels.json below it")
    return sets


def _quality(folder: Path, longest: int | None) -> Iterator[Row]:
    everything = [recorded.read(name, path) for name, path in recorded.files(folder)]
    recordings = [one for one in everything if longest is None or one.values.size <= longest]
    windows = recorded.labels(folder, [recording.name for recording in recordings])
    series = [Scored.of(recording, windows[recording.name]) for recording in recordings]
    judged = [replay.rarity(one.at_s, one.values) for one in recordings]
    ours = [decision.alerts(one) for one in judged]
    yield _row("watchkeeper", series, [one.decades for one in judged], ours)
    taught = [judge_with_labels(one.at_s, one.values, windows[one.name]) for one in recordings]
    yield _row("watchkeeper, with feedback", series, [t[0] for t in taught], [t[1] for t in taught])
    for name, peer in _PEERS.items():
        try:
            scores = [
                peer(replay.held(one.values), judged[i].hours, series[i].first) for i, one in enumerate(recordings)
            ]
        except ImportError as missing:
            yield {"detector": f"{name} ({missing.name} is not installed)"}
            continue
        yield _best(name, series, scores, [one.hours for one in judged])


def _row(name: str, series: Sequence[Scored], scores: Sequence[Floats], alerts: Sequence[npt.NDArray[np.bool_]]) -> Row:
    events = summed(count(one, flags) for one, flags in zip(series, alerts, strict=True))
    precisions = [
        average_precision(score[one.first :], one.truth[one.first :])
        for one, score in zip(series, scores, strict=True)
        if one.truth[one.first :].any()
    ]
    return {
        "detector": name,
        "event F1": events.f1,
        "recall": events.recall,
        "precision": events.precision,
        "false pages a day": events.false_per_day,
        "AUC-PR": float(np.mean(precisions)) if precisions else None,
    }


def _best(name: str, series: Sequence[Scored], scores: Sequence[Floats], hours: Sequence[Floats]) -> Row:
    """A peer at the one threshold that gives it the best event F1 here."""
    pooled = np.concatenate([score[one.first :] for one, score in zip(series, scores, strict=True)])
    best: tuple[float, list[npt.NDArray[np.bool_]]] | None = None
    for share in (0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9995):
        bar = np.quantile(pooled, share)
        flags = [_alerts(score, at, float(bar)) for score, at in zip(scores, hours, strict=True)]
        events: Events = summed(count(one, flag) for one, flag in zip(series, flags, strict=True))
        if best is None or events.f1 > best[0]:
            best = (events.f1, flags)
    assert best is not None
    return _row(name, series, scores, best[1])


def _alerts(score: Floats, hours: Floats, bar: float) -> npt.NDArray[np.bool_]:
    flags, last = np.zeros(score.size, np.bool_), -np.inf
    for row in np.flatnonzero(score >= bar).tolist():
        if hours[row] - last >= QUIET_H:
            flags[row], last = True, hours[row]
    return flags


def _ewma(values: Floats, hours: Floats, first: int) -> Floats:
    """The residual of an exponentially weighted mean in exponentially weighted deviations."""
    del hours, first
    import pandas as pd

    column = pd.Series(values)
    mean, spread = column.ewm(alpha=0.01).mean().shift(1), column.ewm(alpha=0.01).std().shift(1)
    return np.asarray(((column - mean).abs() / (spread + 1e-9)).fillna(0.0).clip(upper=1e6), np.float64)


def _half_space_trees(values: Floats, hours: Floats, first: int) -> Floats:
    del hours
    from river import anomaly

    low, high = float(values[: max(first, 2)].min()), float(values[: max(first, 2)].max())
    trees = anomaly.HalfSpaceTrees(n_trees=10, height=6, window_size=250, seed=0, limits={"x": (low, high + 1e-9)})
    found = np.empty(values.size)
    for row, value in enumerate(values.tolist()):
        found[row] = trees.score_one({"x": value})
        trees.learn_one({"x": value})
    return found


def _isolation_forest(values: Floats, hours: Floats, first: int) -> Floats:
    del hours
    from sklearn.ensemble import IsolationForest

    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.full(LAGS - 1, values[0]), values]), LAGS)
    forest = IsolationForest(n_estimators=100, random_state=0).fit(windows[: max(first, 20)])
    return np.asarray(-forest.score_samples(windows))


def _stl(values: Floats, hours: Floats, first: int) -> Floats:
    """The residual of a seasonal decomposition of the whole series: it looks ahead, which nothing on call can."""
    del first
    from statsmodels.tsa.seasonal import STL

    day = max(2, round(24 / replay.step_hours(hours)))
    if values.size < 2 * day + 1:
        return np.zeros(values.size)
    jump = max(1, day // 10)  # interpolates between every tenth; ten times as fast
    residual = np.asarray(STL(values, period=day, seasonal_jump=jump, trend_jump=jump, low_pass_jump=jump).fit().resid)
    return np.asarray(np.abs(residual) / (np.median(np.abs(residual)) + 1e-9))


_PEERS: Final[dict[str, Callable[[Floats, Floats, int], Floats]]] = {
    "EWMA z-score": _ewma,
    "river HalfSpaceTrees": _half_space_trees,
    "scikit-learn IsolationForest, 12 lags": _isolation_forest,
    "statsmodels STL residual (looks ahead)": _stl,
}


def _speed() -> Iterator[Row]:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    noise = np.random.default_rng(0)
    ticks = 50 + 3 * noise.normal(size=(BANK_TICKS, BANK_SERIES))
    bank = SeriesBank(BANK_SERIES)
    started = time.process_time()
    for i, values in enumerate(ticks):
        bank.update(values, at=5.0 * i)
    seconds = time.process_time() - started
    yield {
        "tier": "cheap: SeriesBank, 10,000 series",
        "points a CPU second": round(ticks.size / seconds),
        "bytes a series": round(bank.nbytes / BANK_SERIES),
    }
    at = np.asarray(1.7e9 + 300.0 * np.arange(DEAR_ROWS), np.float64)
    wave = 50 + 10 * np.sin(np.arange(DEAR_ROWS) * 2 * np.pi / 288) + noise.normal(size=DEAR_ROWS)
    with threadpool_limits(1):
        started = time.process_time()
        replay.rarity(at, wave)
        seconds = time.process_time() - started
    yield {"tier": "dear: replay, one series of 20,000 rows", "points a CPU second": round(DEAR_ROWS / seconds)}
    try:
        from river import anomaly
    except ImportError:
        return
    trees = anomaly.HalfSpaceTrees(seed=0)
    started = time.process_time()
    for value in wave[:3000].tolist():
        trees.score_one({"x": value})
        trees.learn_one({"x": value})
    yield {"tier": "river HalfSpaceTrees", "points a CPU second": round(3000 / (time.process_time() - started))}


def _table(found: dict[str, list[Row]]) -> str:
    lines = []
    for title, rows in found.items():
        lines += ["", title]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        lines += [
            "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(line, widths, strict=True)) for line in cells)
        ]
    return "\n".join(lines[1:])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
