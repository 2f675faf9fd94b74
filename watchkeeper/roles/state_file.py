"""The state database's file at a start, and what is reported as long as a damaged one is kept beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.roles.lifecycle import Life
from watchkeeper.state.backup import back_up_daily, backups, file_of
from watchkeeper.state.sqlite_file import Repair, notes, repair

LOOP: Final = "state"


def look_after(config: Config) -> Repair | None:
    """At a start: put the newest good backup in a damaged database's place, and keep the damaged file.

    Raises:
        StateError: the file cannot be read, or is locked: nothing was moved.
    """
    path = file_of(config)
    return repair(path, backups(config)) if path else None


def look_after_as(life: Life) -> None:
    """As `look_after`, for a role that starts without a supervisor; the log says what was done."""
    life.heart.enter_phase("checking the state database")
    done = look_after(life.config)
    if done:
        structlog.get_logger().warning("state.repaired", what=str(done))
    life.heart.enter_phase("opening the state database")


def kept_aside(config: Config) -> dict[Path, str]:
    """Damaged state databases that are still kept, and what is reported of each. Moving one away acknowledges it."""
    path = file_of(config)
    return notes(path) if path else {}


def back_up_and_report(config: Config, problems: Problems, now: datetime) -> None:
    """The day's copy, when it is due; and a word on every damaged file that is still kept."""
    known = kept_aside(config)
    for problem in problems.current():
        if problem.loop == LOOP and problem.subject not in {aside.name for aside in known}:
            problems.solved(LOOP, problem.subject)
    for aside, text in known.items():
        problems.report(LOOP, aside.name, f"{text} Move it out of the way when you have seen this.")
    back_up_daily(config, now)
