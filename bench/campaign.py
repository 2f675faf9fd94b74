"""`watchkeeper bench campaign`: the experiments that the coverage map proposes, one after the other, on the shop.

1. Starts the shop and every role, as the demo does, with the scripted human who presses the Slack buttons.
2. Again and again: asks what to test next, runs it, waits until all is calm. Now and then a control window.
3. Prints what the experiments have shown: the same scorecard, map and report as `watchkeeper chaos report`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chaos.assessment import Assessment, assess
from chaos.commands.coverage import coverage_table
from chaos.demo.stage import perform
from chaos.demo.story import Plan, Story
from chaos.registry import fault_named
from chaos.scorecard import described, scorecard
from watchkeeper.errors import ChaosError, TargetError

TAKES_S: Final = 150.0  # one experiment with all that comes before and after it, at most


class Campaign:
    """A course of proposed experiments and control windows."""

    def __init__(self, experiments: int, control_every: int, control_s: float) -> None:
        self._experiments = experiments
        self._control_every = control_every
        self._control_s = control_s

    def play(self, story: Story) -> Assessment:
        """Run them; what is refused is reported, and counts as one of them."""
        story.whole_run_s = self._experiments * TAKES_S
        story.warm_up()
        story.control_window(self._control_s)
        for number in range(1, self._experiments + 1):
            proposed = _assess(story).next_experiments(1)
            if not proposed:
                story.notify("nothing is left to test")
                break
            cell = proposed[0].cell
            story.notify(f"{number} of {self._experiments}: {cell.fault} in {cell.service}: {proposed[0].reason}")
            try:
                story.break_one(Plan(fault=fault_named(cell.fault), service=cell.service))
            except (ChaosError, TargetError) as error:
                story.notify(f"  refused: {error.message}")
            story.settle()
            if number % self._control_every == 0:
                story.control_window(self._control_s)
        return _assess(story)


def _assess(story: Story) -> Assessment:
    return assess(story.loop.db, story.loop.telemetry, story.target, datetime.now(UTC))


def run(*, root: Path, seed: int, experiments: int, control_every: int, control_s: float, as_json: bool) -> None:
    """Play the campaign and print what it has shown; its data stay under `root`."""
    campaign = Campaign(experiments, control_every, control_s)
    known, measured = perform(root, seed, lambda text: print(text, file=sys.stderr, flush=True), campaign.play)
    card = described(scorecard(known.known))
    if as_json:
        print(json.dumps({"scorecard": card, "data_dir": measured.data_dir, "seconds": measured.seconds}, default=str))
        return
    for name, number in card.items():
        print(f"{name:<22} {number}")
    print("\n".join(coverage_table(known.cells)))
    print(f"\nwatchkeeper chaos report --config {measured.data_dir}/watchkeeper.yaml shows the rest")
