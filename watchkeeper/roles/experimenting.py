"""Scheduled experiments in the watch role: where the schedules, the channel that asks for approval, and time meet."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from alerting.channels.registry import open_channels
from chaos.schedules.launching import Launcher
from chaos.schedules.schedule import Schedule
from chaos.schedules.scheduler import LOOP, Scheduler
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.roles.loops import Job
from watchkeeper.state.database import Database

EVERY_S: Final = 5.0
ASKED_BY: Final = "slack"


def experiment_jobs(config: Config, config_path: Path | None, db: Database, problems: Problems) -> tuple[Job, ...]:
    """The job of the schedules; none where nothing can be scheduled."""
    if config_path is None or not (config.chaos.experiments or config.chaos.folder):
        return ()
    launcher, clock = Launcher(config, config_path), SystemClock()
    scheduler = Scheduler(
        config, db, problems, launch=launcher.launch, ask=partial(ask, config, problems), clear_up=launcher.clear_up
    )

    def turn() -> None:
        launcher.reap()
        scheduler.turn(clock.now())

    return (Job(name="experiments", work=turn, every_s=EVERY_S, core=False),)


def ask(config: Config, problems: Problems, schedule: Schedule, due_at: datetime, people: tuple[str, ...]) -> None:
    """Ask people in Slack to approve a run; where they have no address there, `chaos schedule` lists what waits."""
    opened = open_channels(config, Problems(None)).channels
    addresses = {person.id: person.address(ASKED_BY) for person in config.oncall.people}
    text = (
        f"The experiment {schedule.id} was due at {due_at:%Y-%m-%d %H:%M} UTC and waits for your approval.\n"
        f"Approve it: watchkeeper chaos approve {schedule.id} · See it: watchkeeper chaos show {schedule.file}"
    )
    for person in people:
        if ASKED_BY not in opened or not addresses.get(person):
            continue
        try:
            opened[ASKED_BY].send_test(addresses[person], text)
        except DeliveryError as error:
            problems.report(LOOP, f"asking {person}", error)
