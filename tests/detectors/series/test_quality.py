"""Detection quality on labelled series of our own, against what was reached before: a drop fails.

After a change that is meant to move the figures, write down what it reaches now:

    .venv/bin/python -m tests.detectors.series.test_quality > tests/detectors/series/baseline.json
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from detectors.series import decision, replay
from tests.detectors.series.labelled import DAYS, series

BASELINE = Path(__file__).with_name("baseline.json")
WARM_ROWS = 288


def figures() -> dict[str, float]:
    """Windows found of all, false alerts a day and series, and how high rows in windows rank (area under ROC)."""
    found = windows = false = 0
    ranks = []
    for one in series():
        judged = replay.rarity(one.at_s, one.values)
        alerts = np.flatnonzero(decision.alerts(judged))
        inside = np.zeros(one.values.size, bool)
        for first, last in one.windows:
            inside[first : last + 1] = True
            found += bool(((alerts >= first) & (alerts <= last)).any())
            windows += 1
        false += sum(not inside[row] for row in alerts.tolist() if row >= WARM_ROWS)
        scores, truth = judged.decades[WARM_ROWS:], inside[WARM_ROWS:]
        order = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
        n = truth.sum()
        ranks.append((order[truth].sum() - n * (n - 1) / 2) / (n * (~truth).sum()))
    return {
        "recall": round(found / windows, 3),
        "false_per_day": round(false / (DAYS * len(ranks)), 3),
        "area_under_roc": round(float(np.mean(ranks)), 3),
    }


def test_no_figure_is_worse_than_what_was_reached() -> None:
    """As many windows are found, with as few false alerts, and rows in windows rank as high."""
    before, now = json.loads(BASELINE.read_text()), figures()
    assert now["recall"] >= before["recall"]
    assert now["false_per_day"] <= before["false_per_day"]
    assert now["area_under_roc"] >= before["area_under_roc"] - 0.002


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
