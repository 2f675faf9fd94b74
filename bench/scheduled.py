"""Experiments that run by their schedules, as in an installation: the watch role starts them, and nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chaos.demo.story import Plan, Story
from chaos.schedules.rows import OPEN, DueRuns
from chaos.toolkit.document import EXTENSION
from chaos.toolkit.short_form import experiment_for
from watchkeeper.errors import ChaosError

HOLDS_S: Final = 40.0  # after its effect is proved: pages come within 20 s where they come at all
EVERY: Final = timedelta(minutes=3)  # an experiment, its incident and the calm after it
LEAD: Final = timedelta(minutes=1)  # a due time of the minute that runs may be over before the file is seen
LATE: Final = timedelta(minutes=30)  # a run waits while an incident is open
LOOKS_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one schedule: the state and the words of its row, and how long its experiment took."""

    plan: Plan
    state: str
    detail: str
    took_s: float


def play_scheduled(story: Story, plans: Sequence[Plan]) -> tuple[Run, ...]:
    """Write a file with a schedule for each plan, one after the other, and follow what the watch role makes of them.

    Raises:
        ChaosError: the configuration names no folder of experiments.
    """
    folder = story.loop.experiments
    if folder is None:
        raise ChaosError("nothing runs by itself here: set chaos.folder")
    begins = datetime.now(UTC) + LEAD
    waiting: dict[str, Plan] = {}
    for number, plan in enumerate(plans):
        name = f"{number + 1:02d}-{plan.fault.name}-{plan.service}".replace("_", "-")
        at = begins + number * EVERY
        (folder / f"{name}.json").write_text(json.dumps(scheduled_once(plan, at), indent=2), encoding="utf-8")
        waiting[name] = plan
        story.notify(f"  {at:%H:%M} UTC: {name}")
    runs, since, done = DueRuns(story.loop.db), dict[str, float](), list[Run]()
    for _ in story.patience.every(LOOKS_EVERY_S, (len(plans) * EVERY + LATE).total_seconds()):
        for run in runs.history(len(plans) + 1):
            if (now_wrong := waiting.get(run.schedule)) is None:
                continue
            if run.state == "running" and run.schedule not in since:
                since[run.schedule] = time.time()
                story.notify(f"▶ {run.schedule}, by its schedule")
                story.remember(now_wrong, since[run.schedule])
            elif run.state not in OPEN:
                began = since.get(run.schedule, time.time())
                story.forget(began)
                story.loop.settle()
                story.notify(f"■ {run.schedule}: {run.state}: {run.detail}")
                done.append(Run(plan=now_wrong, state=run.state, detail=run.detail, took_s=time.time() - began))
                del waiting[run.schedule]
        if not waiting:
            break
    left = [Run(plan=plan, state="never ran", detail="", took_s=0.0) for plan in waiting.values()]
    return (*done, *left)


def scheduled_once(plan: Plan, at: datetime) -> dict[str, Any]:
    """The short form's experiment, at this minute."""
    content = experiment_for(plan.fault.name, plan.service, HOLDS_S).content
    return {**content, "extensions": [{"name": EXTENSION, "schedule": {"cron": f"{at.minute} {at.hour} * * *"}}]}
