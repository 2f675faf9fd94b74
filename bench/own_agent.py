"""An agent of one's own: a real process with a file, and a configuration whose runbooks reach its services."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx
import yaml

from runbooks.run_rows import Run, read_run
from runbooks.runbook import BUILT_IN
from watchkeeper.config import load
from watchkeeper.errors import AgentError
from watchkeeper.private_files import private_folder
from watchkeeper.state.database import Database
from watchkeeper.target import TargetSettings, open_target

TOKEN_ENV: Final = "BENCH_AGENT_TOKEN"
ANSWERS_WITHIN_S: Final = 60.0
STOPS_WITHIN_S: Final = 60.0  # it ends its faults first
RUN_WITHIN_S: Final = 240.0


class OwnAgent:
    """Starts the agent, and runs commands of an installation that names it as its only target.

    Args:
        folder: where its state, the configuration and the logs go.
        file: makes the agent's file from its state folder and the digest of its token.
        books: runbooks beside the built-in ones, as the mappings of their files.
    """

    def __init__(
        self, folder: Path, file: Callable[[Path, str], Mapping[str, Any]], books: tuple[Mapping[str, Any], ...] = ()
    ) -> None:
        self._folder = folder
        self.token = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        self._path = folder / "agent.yaml"
        self._path.write_text(yaml.safe_dump(dict(file(private_folder(folder / "agent"), digest))))
        self._config = folder / "watchkeeper.yaml"
        self.runbooks = folder / "runbooks"
        self._write_books(books)

    def _write_books(self, books: tuple[Mapping[str, Any], ...]) -> None:
        place = self.runbooks
        shutil.copytree(BUILT_IN, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (place / "policy.yaml").write_text(yaml.safe_dump({"services": ["*"]}))
        for book in books:
            (place / f"{book['id']}.yaml").write_text(yaml.safe_dump(dict(book), sort_keys=False))

    def __enter__(self) -> Self:
        with (self._folder / "agent.log").open("ab") as log:
            command = [sys.executable, "-I", "-m", "agent", str(self._path)]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith("agent.ready"):
            self.__exit__()
            raise AgentError(f"the agent did not start: {(self._folder / 'agent.log').read_text()[-1000:]}")
        self.url = f"http://{line.split('address=')[1].strip()}"
        tree = {
            "data_dir": str(self._folder / "data"),
            "targets": {"bench": {"kind": "agent", "url": self.url, "token_env": TOKEN_ENV}},
            "runbooks": {"dir": str(self.runbooks)},
        }
        self._config.write_text(yaml.safe_dump(tree))
        self._db = Database.open(load(self._config))
        self.target = open_target("agent", TargetSettings(url=self.url, token=self.token))
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "target"):
            self.target.close()
            self._db.close()
        self._process.terminate()
        try:
            self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
        """One request of ours to the agent: status and answer. With `token`, as somebody else."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=ANSWERS_WITHIN_S)
        return answer.status_code, json.loads(answer.content or b"null")

    def run(self, runbook: str, service: str) -> tuple[Run | None, str]:
        """`watchkeeper runbook run`, in a process of its own: the run as it ended, and what went wrong."""
        command = [sys.executable, "-m", "watchkeeper.cli.main", "runbook", "run", runbook, service, "--yes"]
        command += ["--as", "bench", "--config", str(self._config)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=RUN_WITHIN_S,
                env={**os.environ, TOKEN_ENV: self.token},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, f"`watchkeeper runbook run {runbook} {service}` did not end within {RUN_WITHIN_S:.0f} s"
        line = next((each for each in done.stdout.splitlines() if each.startswith("run-")), "")
        run = read_run(self._db, line.split(":")[0]) if line else None
        return run, "" if done.returncode == 0 else done.stderr.strip()[-500:]
