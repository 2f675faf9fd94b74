"""May a version decide? It must page for all that warrants it, and for less of what does not, on both label sources.

Pure: labelled findings and two versions in, a verdict with its numbers out. A stage's minimum observation
time is added by `detectors.learning.versions`, which knows the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from detectors.learning.examples import SOURCES, Example
from detectors.learning.model import LearnedModel
from watchkeeper.config import GateConfig

# A version that suppresses more than this share of what warranted a page is broken, whatever else it does well.
SUPPRESSED_AT_MOST: Final = 0.6
SECONDS_PER_FINDING_AT_MOST: Final = 0.002  # a tick with a hundred findings then takes a tenth of its two seconds
FOLDS: Final = 10  # ten-fold cross-validation, the usual choice (Kohavi, IJCAI 1995)

Pages = Callable[[Example], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a version does on one source's labelled incidents."""

    incidents: int
    warranted: int
    paged_warranted: int
    paged_unwarranted: int

    @property
    def recall(self) -> float:
        """The share of the incidents that warrant a page and get one; 1 where there are none."""
        return self.paged_warranted / self.warranted if self.warranted else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a version may move on, and the numbers behind it: the promotion record.

    `refused` says why it may not, `waiting` what is still to come. `fresh` are the incidents that the serving version
    did not learn from: on those the two are compared fairly.
    """

    refused: tuple[str, ...]
    waiting: tuple[str, ...]
    candidate: dict[str, Score]
    serving: dict[str, Score]
    fresh: int

    @property
    def passed(self) -> bool:
        return not self.refused and not self.waiting

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it stays where it is; empty where it passed."""
        return self.refused + self.waiting

    def record(self) -> dict[str, Any]:
        """For the promotion record: labels by source, and what both versions do with them."""
        return {
            "gate": "passed" if self.passed else "; ".join(self.reasons),
            "labels": {
                source: {
                    "incidents": score.incidents,
                    "warranted": score.warranted,
                    "false": score.incidents - score.warranted,
                }
                for source, score in self.candidate.items()
            },
            **{f"{source}_new": _short(self.candidate[source]) for source in SOURCES},
            **{f"{source}_before": _short(self.serving[source]) for source in SOURCES},
            "incidents new to the serving version": self.fresh,
            "scores": {
                "candidate": {source: asdict(score) for source, score in self.candidate.items()},
                "serving": {source: asdict(score) for source, score in self.serving.items()},
            },
        }


def score(pages: Pages, examples: Sequence[Example]) -> dict[str, Score]:
    """Scores by label source; `pages` says whether a finding would page. An incident pages if any does."""
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


def cross_validated(examples: Sequence[Example], fit: Callable[[Sequence[Example]], LearnedModel]) -> Pages:
    """Judge each example by a model that was fitted without its incident: what it learned, not what it remembers."""
    incidents = sorted({example.incident_id for example in examples})
    folds = {incident: i % FOLDS for i, incident in enumerate(incidents)}
    models = {
        fold: fit([example for example in examples if folds[example.incident_id] != fold])
        for fold in sorted(set(folds.values()))
    }
    return lambda example: models[folds[example.incident_id]].pages(example.finding)


def judge(
    candidate: LearnedModel,
    serving: LearnedModel,
    examples: Sequence[Example],
    pages: Pages,
    rules: GateConfig,
    fresh: Callable[[Example], bool] = lambda _: True,
) -> Verdict:
    """Compare a candidate with the version that serves.

    Args:
        candidate: the version that wants to move on.
        serving: the version that decides now.
        examples: every labelled finding.
        pages: whether the candidate pages: cross-validated, or by itself for what it has not learned from.
        rules: what it must show.
        fresh: whether the serving version has not learned from an example.
    """

    def old_pages(example: Example) -> bool:
        return serving.pages(example.finding)

    new, old = score(pages, examples), score(old_pages, examples)
    unseen = [example for example in examples if fresh(example)]
    new_unseen, old_unseen = score(pages, unseen), score(old_pages, unseen)
    refused, spared, gained = [], 0, 0
    for source in SOURCES:
        lost = old[source].paged_warranted - new[source].paged_warranted
        gained -= min(lost, 0)
        if lost > rules.missed:
            refused.append(f"by {source} labels it would miss {lost} warranted page(s)")
        fewer = old_unseen[source].paged_unwarranted - new_unseen[source].paged_unwarranted
        spared += max(fewer, 0)
        if fewer < 0:
            refused.append(f"by {source} labels it would send more false pages")
    if examples:
        refused += _broken(candidate, examples)
    waiting = _missing(new, rules)
    if not refused and not waiting and not spared and not gained:
        waiting.append("it would decide no labelled incident better than what serves")
    count = len({example.incident_id for example in unseen})
    return Verdict(refused=tuple(refused), waiting=tuple(waiting), candidate=new, serving=old, fresh=count)


def _broken(candidate: LearnedModel, examples: Sequence[Example]) -> list[str]:
    """What no version may do, by its own decisions."""
    began = time.thread_time()  # its own time: other processes on the machine are not its fault
    suppressed = sum(not candidate.pages(example.finding) for example in examples if example.warranted)
    seconds = (time.thread_time() - began) / len(examples)
    total = sum(example.warranted for example in examples)
    faults = []
    if total and suppressed / total > SUPPRESSED_AT_MOST:
        faults.append(f"it suppresses {suppressed / total:.0%} of the findings that warranted a page")
    if seconds > SECONDS_PER_FINDING_AT_MOST:
        faults.append(f"it takes {seconds * 1000:.1f} ms a finding")
    return faults


def _missing(scores: dict[str, Score], rules: GateConfig) -> list[str]:
    """Which labels are still needed."""
    missing = []
    for source, needed in (("human", rules.human_labels), ("chaos", rules.chaos_labels)):
        if scores[source].incidents < needed:
            missing.append(f"{scores[source].incidents} of the {needed} incidents that it needs have a {source} label")
    known = max(scores[source].warranted for source in SOURCES)
    if known < rules.warranted:
        missing.append(
            f"only {known} of the {rules.warranted} incidents with a warranted page that it needs are labelled"
        )
    return missing


def _short(score: Score) -> str:
    false = score.incidents - score.warranted
    return f"paged {score.paged_warranted}/{score.warranted} warranted, {score.paged_unwarranted}/{false} false"
