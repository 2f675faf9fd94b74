"""The processes in which scheduled experiments run: their own, and they outlive the watch role that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from chaos.schedules.scheduler import Claimed
from chaos.surroundings import FOLDER
from watchkeeper.config import Config
from watchkeeper.private_files import private_folder

LOG: Final = "scheduled.log"


class Launcher:
    """Starts processes, and takes note of their ends so that none is left as a zombie."""

    def __init__(self, config: Config, config_path: Path) -> None:
        self._log = private_folder(config.data_dir / FOLDER) / LOG
        self._config_path = config_path.absolute()
        self._started: list[subprocess.Popen[bytes]] = []

    def launch(self, claimed: Claimed) -> None:
        """Run an experiment whose due time was claimed."""
        token = f"{claimed.schedule.id}@{claimed.due_at.isoformat()}@{claimed.claim}"
        game_day = ("--game-day",) if claimed.schedule.rule.game_day else ()
        self._start("run", str(claimed.schedule.file), "--claim", token, *game_day)

    def clear_up(self) -> None:
        """Play the rollbacks of experiments that were cut short."""
        self._start("stop", "--only-cut-short")

    def reap(self) -> None:
        """Take note of processes that have ended."""
        self._started = [process for process in self._started if process.poll() is None]

    def _start(self, *words: str) -> None:
        command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", *words, "--config", str(self._config_path)]
        with self._log.open("ab") as log:
            none = subprocess.DEVNULL
            self._started.append(subprocess.Popen(command, stdin=none, stdout=log, stderr=log, start_new_session=True))
