"""`watchkeeper demo --headless`: the whole loop with a scripted human, measured, in at most ten minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.demo.processes import Stopped
from chaos.demo.report import FaultReport, Report
from chaos.demo.stage import Notify, perform
from chaos.demo.story import Story, run_course


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """What the course itself saw."""

    faults: tuple[FaultReport, ...]
    problems: tuple[str, ...]
    control: dict[str, Any]
    models: dict[str, Any]
    scorecard: dict[str, Any]
    extra_pages: int


def run(root: Path, seed: int, notify: Notify) -> Report:
    """Six faults and a control window. Raises Stopped on Ctrl-C."""
    played, measured = perform(root, seed, notify, lambda story: _play(story, seed, notify))
    return Report(
        seed=seed,
        faults=played.faults,
        control=played.control,
        models=played.models,
        scorecard=played.scorecard,
        extra_pages=played.extra_pages,
        problems=played.problems,
        measured=measured,
    )


def _play(story: Story, seed: int, notify: Notify) -> _Played:
    loop = story.loop
    before = loop.model_versions()
    faults, problems = run_course(story, seed)
    after = story.learn(before)
    shadow = loop.would_have_changed()
    silent = [verdict["incident"] for verdict in shadow if not verdict["would_page"]]
    notify(f"learned: {len(after)} model versions; the newest would not have paged for {silent or 'none'}")
    own = {report.incident for report in faults}
    extra = [incident for incident in loop.incidents.list(limit=200) if incident.delivered and incident.id not in own]
    return _Played(
        faults=tuple(faults),
        problems=tuple(problems),
        control={"minutes": story.control_minutes, "pages": story.control_pages},
        models={"before": before, "after": after, "shadow_verdicts": shadow},
        scorecard=loop.scorecard(),
        extra_pages=len(extra) - story.control_pages,
    )


__all__ = ["Stopped", "run"]
