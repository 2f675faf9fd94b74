"""`watchkeeper bench detect --halves`: what was chosen on labelled series, chosen again on half of them.

The categories of each set are split at random. What the decision has to be told (bar, points of an hour, freshness, how
much the budget moves the bar, which alerts cost nothing of it, whether recurring events count) is chosen on one half
and scored on the other, and the other way round, so that every series is scored by a choice that did not see its
category. The statistics have no weights to choose. One category at a time is left out in the same way.

A choice is worth the mean event F1 of both sets, less four times what exceeds `MOST_FALSE` false pages a day. Each
setting but the bar takes the value that is worth most on average over all others; then the bar, averaged over its
neighbours: the single best of hundreds of choices is mostly luck.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.detect_scores import Events, Scored, count, summed
from detectors.series import recorded, replay
from detectors.series.decision import Policy, alerts

Key = tuple[str, str]  # set, series
Row = dict[str, str | float | None]

SPLITS: Final = 10
MOST_FALSE: Final = 0.042
BARS: Final = (1.55, 1.6, 1.65, 1.7, 1.75, 1.8, 1.85)
POINTS: Final = (0.3, 0.4, 0.5)
FRESH: Final = (1.5, 2.0)
SLOPES: Final = (0.2, 0.3, 0.4)
APART: Final = (Policy().apart, float("inf"))


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting of everything that is chosen."""

    bar: float
    points: float
    fresh: float
    slope: float
    apart: float
    recurring: bool


SHIPPED: Final = Choice(
    Policy().bar, replay.POINTS_OF_AN_HOUR, Policy().fresh, Policy().decades_per_rate, Policy().apart, True
)
Table = Mapping[Choice, Mapping[Key, Events]]


def rows(folders: Iterable[Path], seed: int) -> list[Row]:
    """Each set in sample, in random halves, and with each category left out; everything chosen, and the bar alone."""
    series = [one for folder in folders for one in _series(folder)]
    choices = [Choice(*one) for one in itertools.product(BARS, POINTS, FRESH, SLOPES, APART, (True, False))]
    everything = {
        choice: {key: count(scored, _alerts(judged, choice)) for key, scored, judged in series} for choice in choices
    }
    bar_alone = {choice: by for choice, by in everything.items() if replace(choice, bar=SHIPPED.bar) == SHIPPED}
    keys = [key for key, _, _ in series]
    found: list[Row] = []
    for title, table in (("everything chosen", everything), ("bar alone chosen", bar_alone)):
        found += _figures(f"{title}, in sample", [{key: table[_best(table, keys)][key] for key in keys}])
        found += _figures(f"{title}, random halves", list(_halves(table, keys, seed)))
        found += _figures(f"{title}, one category left out", [_left_out(table, keys)])
    return found + _figures("shipped", [everything[SHIPPED]])


def _series(folder: Path) -> Iterable[tuple[Key, Scored, replay.Rarity]]:
    recordings = [recorded.read(name, path) for name, path in recorded.files(folder)]
    windows = recorded.labels(folder, [one.name for one in recordings])
    for one in recordings:
        yield (folder.name, one.name), Scored.of(one, windows[one.name]), replay.rarity(one.at_s, one.values)


def _alerts(judged: replay.Rarity, choice: Choice) -> npt.NDArray[np.bool_]:
    moved = (replay.POINTS_OF_AN_HOUR - choice.points) * np.log10(max(1.0, 1.0 / judged.step))
    events = judged.recurring if choice.recurring else ()
    policy = Policy(bar=choice.bar, fresh=choice.fresh, decades_per_rate=choice.slope, apart=choice.apart)
    return alerts(replace(judged, decades=judged.decades + moved, recurring=events), policy)


def _worth(by: Mapping[Key, Events], keys: Iterable[Key]) -> float:
    """Mean event F1 over the sets, less what too many false pages cost."""
    sets: dict[str, list[Events]] = {}
    for key in keys:
        sets.setdefault(key[0], []).append(by[key])
    totals = [summed(events) for events in sets.values()]
    return float(np.mean([one.f1 - 4 * max(0.0, one.false_per_day - MOST_FALSE) for one in totals if one.windows]))


def _best(table: Table, keys: Sequence[Key]) -> Choice:
    worth = {choice: _worth(by, keys) for choice, by in table.items()}
    values = [list(dict.fromkeys(setting)) for setting in zip(*map(astuple, table), strict=True)]
    best = []
    for place, options in enumerate(values):
        of_option = [np.mean([w for choice, w in worth.items() if astuple(choice)[place] == one]) for one in options]
        best.append(options[int(np.argmax(of_option))])
    others = Choice(*best)

    def smooth(bar: float) -> float:
        place = BARS.index(bar)
        return float(np.mean([worth[replace(others, bar=one)] for one in BARS[max(0, place - 1) : place + 2]]))

    return replace(others, bar=max(BARS, key=smooth))


def _category(key: Key) -> Key:
    return key[0], key[1].split("/")[0]


def _halves(table: Table, keys: list[Key], seed: int) -> Iterable[dict[Key, Events]]:
    dice = np.random.default_rng(seed)
    categories = sorted({_category(key) for key in keys})
    for _ in range(SPLITS):
        chosen: set[Key] = set()
        for name in sorted({category[0] for category in categories}):
            own = [category for category in categories if category[0] == name]
            chosen |= {own[i] for i in dice.permutation(len(own))[: len(own) // 2].tolist()}
        half = [key for key in keys if _category(key) in chosen]
        rest = [key for key in keys if _category(key) not in chosen]
        one, other = table[_best(table, half)], table[_best(table, rest)]
        yield {**{key: one[key] for key in rest}, **{key: other[key] for key in half}}


def _left_out(table: Table, keys: list[Key]) -> dict[Key, Events]:
    found: dict[Key, Events] = {}
    for category in sorted({_category(key) for key in keys}):
        best = table[_best(table, [key for key in keys if _category(key) != category])]
        found |= {key: best[key] for key in keys if _category(key) == category}
    return found


def _figures(title: str, splits: Sequence[Mapping[Key, Events]]) -> list[Row]:
    found: list[Row] = []
    for name in sorted({key[0] for key in splits[0]}):
        totals = [summed(events for key, events in split.items() if key[0] == name) for split in splits]
        f1 = [one.f1 for one in totals]
        found.append(
            {
                "choice": title,
                "set": name,
                "event F1": float(np.mean(f1)),
                "± between splits": float(np.std(f1)) if len(f1) > 1 else None,
                "false pages a day": float(np.mean([one.false_per_day for one in totals])),
            }
        )
    return found
