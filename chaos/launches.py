"""Experiments that were started from a page: each is a process of its own, which outlives the page and the web role.

The process is the command that a person would give: `watchkeeper chaos run FAULT SERVICE`. A file beside its output
says who started it and when, and what it printed last is the reason where it was refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from chaos.surroundings import FOLDER
from watchkeeper.errors import ChaosError
from watchkeeper.private_files import private_folder
from watchkeeper.process_identity import identity, is_alive
from watchkeeper.text import one_line
from watchkeeper.vocabulary import utc

LAUNCHES: Final = "launches"
KEPT: Final = 50
STOP_WITHIN_S: Final = 30.0  # the command takes two seconds, and some to start on a busy machine
COMMAND: Final = (sys.executable, "-m", "watchkeeper.cli.main", "chaos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start. `status` None: its process runs, or was killed with whoever waited for it."""

    id: str
    fault: str
    service: str
    seconds: float
    by: str
    at: float
    pid: int = 0
    born: str = ""
    status: int | None = None
    said: str = ""

    @property
    def began(self) -> datetime:
        return utc(self.at)

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return is_alive(self.pid, self.born)


class Launches:
    """Starts experiments against the targets of one configuration, and remembers the newest starts."""

    def __init__(self, config_path: Path, data_dir: Path) -> None:
        self._config_path = config_path.absolute()
        self._folder = data_dir / FOLDER / LAUNCHES

    def start(self, fault: str, service: str, seconds: float, *, by: str, now: datetime) -> Launch:
        """Start one and return at once.

        Raises:
            ChaosError: its process cannot be started.
        """
        launch = Launch(id=uuid.uuid4().hex, fault=fault, service=service, seconds=seconds, by=by, at=now.timestamp())
        words = ("run", "--seconds", f"{seconds:g}", "--config", str(self._config_path), "--", fault, service)
        private_folder(self._folder)
        try:
            with self._path(launch.id, "log").open("wb") as log:
                process = subprocess.Popen(
                    [*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise ChaosError(f"the experiment cannot be started: {error.strerror}") from error
        launch = replace(launch, pid=process.pid, born=identity(process.pid))
        self._write(launch)
        threading.Thread(
            target=self._await, args=(launch, process), name=f"experiment {launch.id}", daemon=True
        ).start()
        self._forget()
        return launch

    def stop(self, within_s: float = STOP_WITHIN_S) -> str:
        """End every experiment that runs on this machine, as `watchkeeper chaos stop` does. Returns what it printed.

        Raises:
            ChaosError: it could not be told, something could not be put back, or it takes longer. Then it goes on.
        """
        command = [*COMMAND, "stop", "--config", str(self._config_path)]
        with TemporaryFile() as output:  # no pipe: what goes on must not lose whoever reads it
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            except OSError as error:
                raise ChaosError(f"the experiments could not be stopped: {error.strerror}") from error
            try:
                status = process.wait(within_s)
            except subprocess.TimeoutExpired as error:
                threading.Thread(target=process.wait, name="chaos stop", daemon=True).start()
                words = "what the experiments broke is still being put back: look again in a minute"
                raise ChaosError(words) from error
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
        said = "; ".join(line for line in lines if line.strip())
        if status:
            raise ChaosError(said or "the experiments could not be stopped")
        return said

    def newest(self) -> tuple[Launch, ...]:
        """The newest starts, the newest first, each with what its process printed last."""
        launches = []
        for path in self._folder.glob("*.json") if self._folder.is_dir() else ():
            try:
                launches.append(Launch(**json.loads(path.read_text())))
            except (OSError, ValueError, TypeError):
                continue  # half written, or of another version
        return tuple(
            replace(one, said=self._last_line(one.id)) for one in sorted(launches, key=lambda one: -one.at)[:KEPT]
        )

    def _await(self, launch: Launch, process: subprocess.Popen[bytes]) -> None:
        """Keep its exit status, and leave no zombie."""
        self._write(replace(launch, status=process.wait()))

    def _write(self, launch: Launch) -> None:
        path = self._path(launch.id, "json")
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(launch)))
        draft.replace(path)

    def _last_line(self, launch_id: str) -> str:
        try:
            lines = self._path(launch_id, "log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return one_line(next((line for line in reversed(lines) if line.strip()), ""), 400)

    def _forget(self) -> None:
        """Remove the oldest."""
        old: Sequence[Path] = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]
        for path in old:
            path.unlink(missing_ok=True)
            path.with_suffix(".log").unlink(missing_ok=True)

    def _path(self, launch_id: str, suffix: str) -> Path:
        return self._folder / f"{launch_id}.{suffix}"
