"""Labels to the next version: a ridge logistic classifier with pooled intercepts, and thresholds per service.

Idea: chance that a page is warranted = logistic(bias + weights·features + detector + group), where the
penalty pulls the detector's and the group's intercepts towards zero: a group with few labels borrows from its
detector, and that from all (the usual approximation of a hierarchical model by its posterior mode; Gelman and Hill,
Data Analysis Using Regression and Multilevel Models, ch. 12). Deterministic: the same labels give the same bytes.
Cost: one Newton solve of (features + detectors + groups)² for some iterations; thousands of labels in milliseconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.learning.examples import SOURCES, Example
from detectors.learning.features import NAMES, evidence, features, group
from detectors.learning.model import BORROWED, DEFAULT_GUARD, FalsePage, Group, Guard, LearnedModel
from detectors.learning.track_record import TrackRecord, record, tally, verdicts

Floats = npt.NDArray[np.float64]

# Before any label most findings are believed to be warranted, 88 % of them; labels move that, the penalty holds it.
PRIOR_BIAS: Final = 2.0
# Each penalty is the inverse variance of a normal prior, in log odds: 0.3 is a standard deviation of 1.8. Loose for
# what all labels share, tighter for what few labels of one detector or service decide. Chosen, not fitted.
PENALTY_BIAS: Final = 0.3
PENALTY_WEIGHT: Final = 0.2
PENALTY_DETECTOR: Final = 0.6
PENALTY_GROUP: Final = 0.4
# How far a threshold may move from its built-in value, and how many labels count as much as the pool.
STRICTEST: Final = 2.5
POOL_WEIGHT: Final = 2.0
# False pages that a version remembers of each detector: the newest.
REMEMBERED: Final = 200


def train(examples: Sequence[Example], guard: Guard = DEFAULT_GUARD) -> LearnedModel:
    """The next version, from every example of both sources. `guard` is kept in it."""
    if not examples:
        return LearnedModel(guard=guard)
    groups = sorted({group(example.finding) for example in examples})
    detectors = sorted({detector for detector, _ in groups})
    x = _design(examples, detectors, groups)
    y = np.array([example.warranted for example in examples], dtype=np.float64)
    # An incident with ten findings is one judgement, not ten.
    incidents = [(example.source, example.incident_id) for example in examples]
    times = Counter(incidents)
    weight = np.array([1.0 / math.sqrt(times[one]) for one in incidents])
    penalty = np.array(
        [PENALTY_BIAS]
        + [PENALTY_WEIGHT] * len(NAMES)
        + [PENALTY_DETECTOR] * len(detectors)
        + [PENALTY_GROUP] * len(groups)
    )
    prior = np.zeros(penalty.size)
    prior[0] = PRIOR_BIAS
    solved = [round(float(value), 6) for value in _fit(x, y, weight, penalty, prior)]
    first_detector = 1 + len(NAMES)
    first_group = first_detector + len(detectors)
    return LearnedModel(
        bias=solved[0],
        weights=tuple(solved[1:first_detector]),
        detectors={
            detector: _group(solved[first_detector + i], record(examples, detector, None))
            for i, detector in enumerate(detectors)
        },
        groups={
            f"{detector}|{service}": _group(solved[first_group + i], record(examples, detector, service))
            for i, (detector, service) in enumerate(groups)
        },
        strictness=_strictness(examples, groups, guard),
        false_pages=_false_pages(examples),
        guard=guard,
    )


def _design(examples: Sequence[Example], detectors: list[str], groups: list[tuple[str, str]]) -> Floats:
    x = np.zeros((len(examples), 1 + len(NAMES) + len(detectors) + len(groups)))
    x[:, 0] = 1.0
    column = {name: number for number, name in enumerate([*detectors, *groups], 1 + len(NAMES))}
    for row, example in enumerate(examples):
        x[row, 1 : 1 + len(NAMES)] = features(example.finding)
        detector, service = group(example.finding)
        x[row, column[detector]] = 1.0
        x[row, column[detector, service]] = 1.0
    return x


def _fit(x: Floats, y: Floats, weight: Floats, penalty: Floats, prior: Floats) -> Floats:
    """The posterior mode by Newton's method, (n_columns,)."""
    solution = prior.copy()
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-np.clip(x @ solution, -30, 30)))
        slope = x.T @ (weight * (y - probability)) - penalty * (solution - prior)
        curve = (x.T * (weight * probability * (1 - probability))) @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        solution = solution + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return solution


def _group(intercept: float, known: TrackRecord) -> Group:
    return Group(intercept=intercept, right=known.right, wrong=known.judged - known.right)


def _false_pages(examples: Sequence[Example]) -> tuple[FalsePage, ...]:
    """What was judged false, a finding of an incident once, oldest label first."""
    judged_false = {one for one, verdict in verdicts(examples).items() if not verdict.warranted}
    said = {(example.incident_id, example.source) for example in examples if not example.warranted}
    pages: dict[tuple[str, str, str], FalsePage] = {}
    for example in sorted(examples, key=lambda one: (one.at, one.incident_id, one.finding.key)):
        detector, service = group(example.finding)
        if example.incident_id in judged_false:
            numbers = [round(float(value), 3) for value in features(example.finding)]
            pages[detector, example.incident_id, service] = FalsePage(
                detector=detector,
                service=service,
                incident_id=example.incident_id,
                evidence=round(evidence(example.finding), 3),
                amount=numbers[0],
                load=numbers[2],
                common=numbers[3],
                deployed=bool(numbers[4]),
                agreed=all((example.incident_id, source) in said for source in SOURCES),
            )
    by_detector: dict[str, list[FalsePage]] = {}
    for one in pages.values():
        by_detector.setdefault(one.detector, []).append(one)
    return tuple(one for detector in sorted(by_detector) for one in by_detector[detector][-REMEMBERED:])


def _strictness(examples: Sequence[Example], groups: list[tuple[str, str]], guard: Guard) -> dict[str, float]:
    """By `detector|service`: how much more evidence a page needs, so that labelled false pages stay below it.

    Never more than half of what the labelled true pages of the detector showed; shrunk towards the detector's pool. 1,
    which is left out, where too few incidents were false to say, and where the false pages showed more evidence than
    any threshold may ask: it would only be late.
    """
    learned: dict[str, float] = {}
    for detector in sorted({detector for detector, _ in groups}):
        judged_findings = [example for example in examples if example.finding.detector == detector]
        true = sorted(evidence(example.finding) for example in judged_findings if example.warranted)
        ceiling = min(STRICTEST, max(1.0, 0.5 * true[len(true) // 10])) if true else STRICTEST
        pool = _needed(judged_findings)
        right, judged = tally(judged_findings)
        false_everywhere = judged - right
        for service in sorted(service for one, service in groups if one == detector):
            own = [example for example in judged_findings if example.finding.service == service]
            right, judged = tally(own)
            false, false_elsewhere = judged - right, false_everywhere - (judged - right)
            if false + BORROWED * false_elsewhere < guard.similar:
                continue
            share = false / (false + POOL_WEIGHT)
            needed = math.exp(share * math.log(_needed(own)) + (1 - share) * math.log(pool) * 0.5)
            if (value := round(min(ceiling, max(1.0, needed)), 3)) > 1.0:
                learned[f"{detector}|{service}"] = value
    return learned


def _needed(examples: Sequence[Example]) -> float:
    """What the evidence would have had to reach to leave out the median false page."""
    false = sorted(evidence(example.finding) for example in examples if not example.warranted)
    if not false or (median := false[len(false) // 2]) > STRICTEST:
        return 1.0
    return max(1.0, 1.0 + len(false) / len(examples) * (1.1 * median - 1.0))
