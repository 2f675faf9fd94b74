"""`watchkeeper demo --trial`: many faults and as many benign changes, before and after learning.

    warm-up ─► before: one fault of each kind and half of the benign changes, and more faults until there are
               ten labels; every page is labelled, by a human and by chaos
            ─► an operator promotes the newest version, through the gate, and again after every five further labels
            ─► after: the other faults and benign changes, on other services
            ─► roll back, and compare every decision with the one before the promotion

A change counts as benign only where customers stayed well through it (chaos' steady-state hypothesis).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from chaos.benign_changes import BENIGN_CHANGES
from chaos.demo.loop import paged_at
from chaos.demo.promotion import Operator, Promotion
from chaos.demo.report import FaultReport, Measured
from chaos.demo.stage import Notify, perform
from chaos.demo.story import FAULTS, LATE_RESOLVE_S, Plan, Story, choose
from chaos.experiment import HARMED_SECONDS_AT_MOST, STEADY_STATE, deviating
from chaos.shop.topology import PLANS
from watchkeeper.errors import ChaosError, TargetError

CHANGE_LASTS_S = 30.0  # as long as a cold cache takes, and some more
PAGE_MAY_COME_S = 12.0  # telemetry and detectors are that late
# A cold cache causes false pages most often, so it comes most often.
MIX = ("cold_deploy", "batch_job", "cold_deploy", "harmless_deploy", "cold_deploy", "load_wave")
LABELS = 10  # before anything is promoted
MORE_LABELS = 5  # before the next version is
Phase = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """Which benign change is made to which service."""

    name: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignChangeReport:
    """One benign change. `benign`: customers stayed well; `paged`: the incidents that paged somebody for it."""

    name: str
    service: str
    phase: Phase
    benign: bool
    hurt_seconds: int
    opened: int
    paged: tuple[str, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One phase's counts. `false_pages` are the pages during benign changes."""

    benign_changes: int
    benign: int
    benign_changes_paged: int
    false_pages: int
    false_page_rate: float
    faults: int
    took_effect: int
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialReport:
    """The whole trial, for `--json`."""

    seed: int
    before: Half
    after: Half
    labels_before: int
    scorecard: dict[str, Any]
    promotion: Promotion
    faults: tuple[FaultReport, ...]
    benign_changes: tuple[BenignChangeReport, ...]
    problems: tuple[str, ...]
    measured: Measured

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run(root: Path, seed: int, notify: Notify, *, faults: int, benign_changes: int) -> TrialReport:
    """Play the trial. Raises Stopped on Ctrl-C."""
    played, measured = perform(root, seed, notify, lambda story: _Trial(story, seed).play(faults, benign_changes))
    return TrialReport(
        seed=seed,
        before=played.halves[0],
        after=played.halves[1],
        labels_before=played.labels_before,
        scorecard=played.scorecard,
        promotion=played.promotion,
        faults=played.faults,
        benign_changes=played.benign_changes,
        problems=played.problems,
        measured=measured,
    )


def steps(seed: int, faults: int, benign_changes: int) -> tuple[list[Plan | PlannedChange], list[Plan | PlannedChange]]:
    """What happens before and after the promotion, shuffled: the same kinds in both, on other services.

    Each round of faults is that of one seed of the headless demo; benign changes come in the order of `MIX`.
    One round of faults comes before, so that some ten labels have to be enough.
    """
    plans = [plan for number in range(math.ceil(faults / len(FAULTS))) for plan in choose(seed + number)][:faults]
    dice = random.Random(seed)
    names = [plan.name for plan in PLANS]
    dealt = {kind: dice.sample(names, len(names)) for kind in BENIGN_CHANGES}
    middle = benign_changes // 2

    def deal(count: int, first: int) -> list[Plan | PlannedChange]:
        kinds = [MIX[i % len(MIX)] for i in range(count)]
        turns = [first + kinds[:i].count(kind) for i, kind in enumerate(kinds)]
        return [
            PlannedChange(name=kind, service=dealt[kind][turn % len(names)])
            for kind, turn in zip(kinds, turns, strict=True)
        ]

    first = min(len(FAULTS), faults // 2)
    halves: tuple[list[Plan | PlannedChange], list[Plan | PlannedChange]] = (
        [*plans[:first], *deal(middle, 0)],
        [*plans[first:], *deal(benign_changes - middle, len(names) // 2)],
    )
    for half in halves:
        dice.shuffle(half)
    return halves


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    halves: tuple[Half, Half]
    labels_before: int
    promotion: Promotion
    faults: tuple[FaultReport, ...]
    benign_changes: tuple[BenignChangeReport, ...]
    scorecard: dict[str, Any]
    problems: tuple[str, ...]


class _Trial:
    """The course: what happens, and what is kept of it."""

    def __init__(self, story: Story, seed: int) -> None:
        self._story = story
        self._seed = seed
        self._problems: list[str] = []
        self._done = self._all = 0
        story.whole_run_s = float("inf")

    def play(self, faults: int, benign_changes: int) -> _Played:
        story = self._story
        before, after = steps(self._seed, faults, benign_changes)
        self._all = len(before) + len(after)
        story.warm_up()
        first = self._half("before", before)
        while self._labels() < LABELS and (more := next((step for step in after if isinstance(step, Plan)), None)):
            after.remove(more)
            extra = self._half("before", [more])
            first[0].extend(extra[0])
        labels_before = self._labels()
        operator = Operator(story.loop.db, story.patience, story.notify, story.loop.gate)
        operator.promote()
        second: tuple[list[FaultReport], list[BenignChangeReport]] = ([], [])
        promoted_at = labels_before
        for step in after:
            part = self._half("after", [step])
            second[0].extend(part[0])
            second[1].extend(part[1])
            if self._labels() >= promoted_at + MORE_LABELS:
                operator.promote()
                promoted_at = self._labels()
        return _Played(
            halves=(_half(*first), _half(*second)),
            labels_before=labels_before,
            promotion=operator.roll_back(),
            faults=(*first[0], *second[0]),
            benign_changes=(*first[1], *second[1]),
            scorecard=self._story.loop.scorecard(),
            problems=tuple(self._problems),
        )

    def _labels(self) -> int:
        return self._story.loop.labelled_incidents("human")

    def _half(
        self, phase: Phase, course: Sequence[Plan | PlannedChange]
    ) -> tuple[list[FaultReport], list[BenignChangeReport]]:
        faults: list[FaultReport] = []
        benign_changes: list[BenignChangeReport] = []
        for step in course:
            self._done += 1
            self._story.notify(f"{phase}, {self._done} of {self._all}")
            try:
                if isinstance(step, Plan):
                    faults.append(self._story.break_one(step))
                else:
                    benign_changes.append(self._change(phase, step))
            except (ChaosError, TargetError) as error:
                self._problems.append(f"{step}: {error.message}")
                self._story.notify(f"  refused: {error.message}")
            self._story.settle()
        return faults, benign_changes

    def _change(self, phase: Phase, step: PlannedChange) -> BenignChangeReport:
        """Let it happen, watch customers, wait for a page, and label what was opened."""
        story = self._story
        story.notify(f"○ {step.name} in {step.service}")
        since, hurt = time.time(), 0
        with BENIGN_CHANGES[step.name](story.target, step.service, CHANGE_LASTS_S):
            for _ in story.patience.every(1.0, CHANGE_LASTS_S):
                hurt += bool(deviating(STEADY_STATE, story.target))
        story.patience.sleep(PAGE_MAY_COME_S)
        for _ in story.patience.every(0.5, LATE_RESOLVE_S + CHANGE_LASTS_S):
            opened = story.loop.opened_since(since)
            if all(incident.human_state == "resolved" or not incident.delivered for incident in opened):
                break
        opened = story.loop.opened_since(since)
        benign = hurt <= HARMED_SECONDS_AT_MOST
        if benign:  # else a page was right, whatever caused it
            story.truth_kept().control(since, time.time(), f"{step.name} in {step.service}: customers stayed well")
            story.loop.settle()
        paged = [incident for incident in opened if paged_at(incident)]
        report = BenignChangeReport(
            name=step.name,
            service=step.service,
            phase=phase,
            benign=benign,
            hurt_seconds=hurt,
            opened=len(opened),
            paged=tuple(incident.id for incident in paged),
            titles=tuple(incident.title for incident in opened),
        )
        story.notify(f"● {step.name} in {step.service}: {len(paged)} pages, {len(opened)} incidents, hurt {hurt} s")
        return report


def _half(faults: Sequence[FaultReport], benign_changes: Sequence[BenignChangeReport]) -> Half:
    benign = [change for change in benign_changes if change.benign]
    real = [report for report in faults if report.took_effect]
    pages = sum(len(change.paged) for change in benign)
    return Half(
        benign_changes=len(benign_changes),
        benign=len(benign),
        benign_changes_paged=sum(bool(change.paged) for change in benign),
        false_pages=pages,
        false_page_rate=round(pages / max(len(benign), 1), 3),
        faults=len(faults),
        took_effect=len(real),
        recall=round(sum(report.paged_s is not None for report in real) / max(len(real), 1), 3),
    )
