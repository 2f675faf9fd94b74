"""May a version decide? It must page for all that was worth it, and for less of what was not, on both label sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from watchkeeper.learning.examples import Example
from watchkeeper.learning.learnt import Learnt
from watchkeeper.vocabulary import LabelSource

SOURCES: Final[tuple[LabelSource, ...]] = ("chaos", "human")
# A version that holds back more than this share of everything is broken, whatever the labels say.
HELD_BACK_AT_MOST: Final = 0.6
SECONDS_PER_FINDING_AT_MOST: Final = 0.001
FOLDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a version does on one source's labelled incidents."""

    incidents: int
    warranted: int
    paged_warranted: int
    paged_unwarranted: int

    @property
    def recall(self) -> float:
        """The share of the incidents worth a page that get one; 1 where there are none."""
        return self.paged_warranted / self.warranted if self.warranted else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a version passed, why not, and both versions' scores by source: the promotion record."""

    passed: bool
    reasons: tuple[str, ...]
    candidate: dict[str, Score]
    serving: dict[str, Score]

    def record(self) -> dict[str, Any]:
        """For the promotion record."""
        return {
            "gate": "passed" if self.passed else "; ".join(self.reasons),
            **{f"{source}_new": _short(self.candidate[source]) for source in SOURCES},
            **{f"{source}_before": _short(self.serving[source]) for source in SOURCES},
            "scores": {
                "candidate": {source: asdict(score) for source, score in self.candidate.items()},
                "serving": {source: asdict(score) for source, score in self.serving.items()},
            },
        }


def score(pages: Callable[[Example], bool], examples: Sequence[Example]) -> dict[str, Score]:
    """Scores by label source; `pages` says whether a finding would wake somebody. An incident pages if any does."""
    scores: dict[str, Score] = {}
    for source in SOURCES:
        paged: dict[str, bool] = {}
        warranted: dict[str, bool] = {}
        for example in examples:
            if example.source == source:
                paged[example.incident_id] = paged.get(example.incident_id, False) or pages(example)
                warranted[example.incident_id] = example.warranted
        scores[source] = Score(
            incidents=len(paged),
            warranted=sum(warranted.values()),
            paged_warranted=sum(paged[one] for one in paged if warranted[one]),
            paged_unwarranted=sum(paged[one] for one in paged if not warranted[one]),
        )
    return scores


def held_out(examples: Sequence[Example], fit: Callable[[Sequence[Example]], Learnt]) -> Callable[[Example], bool]:
    """Judge each example by a model that was fitted without its incident: what it learnt, not what it remembers."""
    incidents = sorted({example.incident_id for example in examples})
    folds = {incident: i % FOLDS for i, incident in enumerate(incidents)}
    models = {
        fold: fit([example for example in examples if folds[example.incident_id] != fold])
        for fold in sorted(set(folds.values()))
    }
    return lambda example: models[folds[example.incident_id]].pages(example.finding)


def judge(candidate: Learnt, serving: Learnt, examples: Sequence[Example], pages: Callable[[Example], bool]) -> Verdict:
    """Compare a candidate with the version that serves; `pages` is the candidate, held out or not."""
    new, old = score(pages, examples), score(lambda example: serving.pages(example.finding), examples)
    reasons = []
    for source in SOURCES:
        if new[source].paged_warranted < old[source].paged_warranted:
            lost = old[source].paged_warranted - new[source].paged_warranted
            reasons.append(f"by {source} labels it would miss {lost} page(s) that were worth it")
        if new[source].paged_unwarranted > old[source].paged_unwarranted:
            reasons.append(f"by {source} labels it would wake somebody for nothing more often")
        if not new[source].incidents:
            reasons.append(f"no incident has a {source} label yet")
    if examples:
        began = time.perf_counter()
        held = sum(not candidate.pages(example.finding) for example in examples if example.warranted)
        seconds = (time.perf_counter() - began) / len(examples)
        total = sum(example.warranted for example in examples)
        if total and held / total > HELD_BACK_AT_MOST:
            reasons.append(f"it holds back {held / total:.0%} of the findings that were worth a page")
        if seconds > SECONDS_PER_FINDING_AT_MOST:
            reasons.append(f"it takes {seconds * 1000:.1f} ms a finding")
    return Verdict(passed=not reasons, reasons=tuple(reasons), candidate=new, serving=old)


def _short(score: Score) -> str:
    false = score.incidents - score.warranted
    return f"paged {score.paged_warranted}/{score.warranted} worth it, {score.paged_unwarranted}/{false} not"
