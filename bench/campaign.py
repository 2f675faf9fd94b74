"""`watchkeeper bench campaign`: the experiments that the coverage map proposes, one after the other.

1. Starts the shop or the foreign system, and every role, with the scripted human who presses the Slack buttons.
2. Where asked to, lets the first of them run by schedules in the installation's own folder of experiments.
3. Again and again: asks what to test next, runs that, each until all is calm, and then a control window.
4. Writes the report, and prints the scorecard, the map, and whether the labels would let a model version decide.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.gate_reached import GateReached, gate_reached
from bench.performed import notify, performed, warm_up_s
from bench.scheduled import play_scheduled
from chaos.assessment import Assessment, assess, observe_experiments
from chaos.commands.coverage import coverage_table
from chaos.demo.story import Plan, Story
from chaos.felt import felt_recall
from chaos.registry import fault_named
from chaos.report import FELT, MEASURES, as_html, as_markdown, count_text, document, number_text
from chaos.resilience import Resilience, resilience
from chaos.scorecard import described, scorecard
from watchkeeper.errors import ChaosError, TargetError
from watchkeeper.intervals import Share

TAKES_S: Final = 150.0  # one experiment with all that comes before and after it, at most
REFUSED_AT_MOST: Final = 2  # once may be the moment: the target was not steady


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a campaign has shown. `took_s` are the seconds that each experiment took, until the next could begin."""

    known: Assessment
    resilience: Resilience
    felt: Share
    missing: str
    gate: GateReached
    took_s: tuple[float, ...]
    refused: tuple[str, ...]


class Campaign:
    """A course of proposed experiments; a control window before the first, and after every `control_every`.

    Attributes:
        refused: why what could not be run was refused, each time, by service and fault.
    """

    def __init__(
        self, experiments: int, control_every: int, control_s: float, warm_up_s: float, scheduled: int = 0
    ) -> None:
        """`scheduled` of the experiments, the first ones, run by their schedules."""
        self._experiments = experiments
        self._scheduled = min(scheduled, experiments)
        self._control_every = control_every
        self._control_s = control_s
        self._warm_up_s = warm_up_s
        self._took_s: list[float] = []
        self.refused: dict[tuple[str, str], list[str]] = {}

    def play(self, story: Story) -> Shown:
        """Run them; what is refused is reported, and counts as one of them."""
        story.whole_run_s = self._warm_up_s + self._experiments * TAKES_S
        story.warm_up(self._warm_up_s)
        story.control_window(self._control_s)
        if self._scheduled:
            self._by_schedule(story)
            story.control_window(self._control_s)
        while (left := self._experiments - len(self._took_s)) > 0:
            # Several at a time: the map then spreads them over faults and services.
            plans = self.next_plans(_assess(story), min(left, self._control_every))
            if not plans:
                story.notify("nothing is left to test")
                break
            for plan, reason in plans:
                self._break_one(story, plan, reason)
            story.control_window(self._control_s)
        return self._shown(story)

    def next_plans(self, known: Assessment, count: int) -> list[tuple[Plan, str]]:
        """At most `count` that the map proposes, each with its reason, without those that were refused twice."""
        hopeless = {cell for cell, reasons in self.refused.items() if len(reasons) >= REFUSED_AT_MOST}
        proposed = known.next_experiments(count + len(hopeless))
        new = [one for one in proposed if (one.cell.service, one.cell.fault) not in hopeless]
        return [(Plan(fault=fault_named(one.cell.fault), service=one.cell.service), one.reason) for one in new[:count]]

    def _by_schedule(self, story: Story) -> None:
        story.notify(f"{self._scheduled} of {self._experiments} run by their schedules:")
        plans = [plan for plan, _ in self.next_plans(_assess(story), self._scheduled)]
        for run in play_scheduled(story, plans):
            if run.state != "done":
                self.refused.setdefault((run.plan.service, run.plan.fault.name), []).append(
                    f"{run.state}: {run.detail}"
                )
            self._took_s.append(run.took_s)
        story.settle()

    def _break_one(self, story: Story, plan: Plan, reason: str) -> None:
        began = time.monotonic()
        number = len(self._took_s) + 1
        story.notify(f"{number} of {self._experiments}: {plan.fault.name} in {plan.service}: {reason}")
        try:
            story.break_one(plan)
        except (ChaosError, TargetError) as error:
            self.refused.setdefault((plan.service, plan.fault.name), []).append(error.message)
            story.notify(f"  refused: {error.message}")
        story.settle()
        self._took_s.append(time.monotonic() - began)

    def _shown(self, story: Story) -> Shown:
        known = _assess(story)
        observed, missing = observe_experiments(story.loop.telemetry, known.known)
        return Shown(
            known=known,
            resilience=resilience(observed),
            felt=felt_recall(known.known, observed),
            missing=missing,
            gate=gate_reached(story.loop.db, datetime.now(UTC)),
            took_s=tuple(self._took_s),
            refused=tuple(
                f"{fault} in {service}: {why}" for (service, fault), reasons in self.refused.items() for why in reasons
            ),
        )


def _assess(story: Story) -> Assessment:
    return assess(story.loop.db, story.loop.telemetry, story.target, datetime.now(UTC))


def run(
    *,
    system: str,
    root: Path,
    seed: int,
    experiments: int,
    scheduled: int,
    control_every: int,
    control_s: float,
    as_json: bool,
) -> None:
    """Play the campaign and print what it has shown; its data and the report stay under `root`.

    Raises:
        ChaosError: there is no such system, or a program of the foreign system is missing.
    """
    campaign = Campaign(experiments, control_every, control_s, warm_up_s(system), scheduled)
    shown, data_dir = performed(system, root, seed, campaign.play)
    tree = _tree(shown) | {"system": system, "data_dir": data_dir}
    sections = document(shown.known, shown.resilience, shown.missing, shown.felt)
    (root / f"{system}.md").write_text(as_markdown(sections), encoding="utf-8")
    (root / f"{system}.html").write_text(as_html(sections), encoding="utf-8")
    (root / f"{system}.json").write_text(json.dumps(tree, indent=2, default=str), encoding="utf-8")
    print(json.dumps(tree, indent=2, default=str) if as_json else _text(shown))
    notify(f"report: {root}/{system}.md, .html and .json; data: {data_dir}")


def _tree(shown: Shown) -> dict[str, Any]:
    known = shown.known
    return {
        "scorecard": described(scorecard(known.known)),
        "felt": asdict(shown.felt),
        "kinds": _kinds(shown),
        "cells": [asdict(cell) for cell in known.cells],
        "next": [asdict(one) | {"reason": one.reason} for one in known.next_experiments()],
        "resilience": asdict(shown.resilience),
        "gaps": [*known.gaps, *([shown.missing] if shown.missing else [])],
        "refused": shown.refused,
        "seconds an experiment": round(sum(shown.took_s) / max(len(shown.took_s), 1), 1),
        "gate": asdict(shown.gate) | {"text": shown.gate.lines},
    }


def _text(shown: Shown) -> str:
    tree = _tree(shown)
    card = scorecard(shown.known.known)
    lines = [f"{card.experiments} experiments, {card.without_effect} of them without effect"]
    lines.append(f"{FELT:<34} {number_text(shown.felt):<22} {count_text(shown.felt)}")
    for name, title in MEASURES.items():
        measured = getattr(card, name)
        lines.append(f"{title:<34} {number_text(measured):<22} {count_text(measured)}")
    lines += [f"kinds of fault that took effect: {len(tree['kinds'])}: {', '.join(tree['kinds'])}"]
    lines += [f"an experiment took {tree['seconds an experiment']} s, with the calm after it"]
    lines += ["", *coverage_table(shown.known.cells), ""]
    lines += [f"next: {one['cell']['fault']} in {one['cell']['service']}: {one['reason']}" for one in tree["next"]]
    lines += [f"refused: {why}" for why in shown.refused]
    lines += [f"not known: {gap}" for gap in tree["gaps"]]
    return "\n".join([*lines, "", *shown.gate.lines])


def _kinds(shown: Shown) -> list[str]:
    return sorted({one.truth.fault for one in shown.known.known if one.truth.fault and one.truth.took_effect})
