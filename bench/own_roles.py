"""Roles of one's own: real processes on free ports in a folder, for measurements and tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

from watchkeeper.config import Config, load
from watchkeeper.errors import WatchkeeperError
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.store.statements import Statements
from watchkeeper.store.telemetry import Telemetry

STALLED_S = 60.0  # a role that starts and does nothing for so long will not come
STOP_WITHIN_S = 20.0


def loader_of(config: Config) -> Statements:
    """Whoever may write to the embedded store of these roles."""
    return Statements(url=config.store_url, user="loader", password=config.secret("store-loader"))


class OwnRoles:
    """Starts, kills and stops roles; each keeps its port and its data when it is started again.

    Args:
        folder: where configuration, data and logs go.
        changes: what differs from the built-in configuration, section by section.
    """

    def __init__(self, folder: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._folder = folder
        tree: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "store": {"port": free_port()},
            "ingest": {"otlp_http_port": free_port(), "otlp_grpc_port": free_port()},
        }
        for section, values in (changes or {}).items():
            tree[section] = {**tree.get(section, {}), **values} if isinstance(values, Mapping) else values
        self._path = folder / "watchkeeper.yaml"
        self._path.write_text(yaml.safe_dump(tree))
        self.config = load(self._path)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in reversed(list(self.processes)):
            self.stop(role)

    @property
    def telemetry(self) -> Telemetry:
        """A reader of the store."""
        return Telemetry.connect(self.config)

    @property
    def otlp_url(self) -> str:
        """Where OTLP over HTTP is received."""
        return f"http://127.0.0.1:{self.config.ingest.otlp_http_port}"

    def start(self, *roles: str) -> None:
        """Start roles, one after the other, and wait until each is ready.

        Raises:
            WatchkeeperError: a role ended or was not ready in time; with the end of its log.
        """
        for role in roles:
            log = self._folder / f"{role}.log"
            command = [sys.executable, "-m", "watchkeeper.cli.main", role, "--config", str(self._path)]
            with log.open("ab") as file:
                child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            self.processes[role] = child
            seen, since = 0.0, time.monotonic()
            while (announced := ready.read(self.config, role)) is None or announced.pid != child.pid:
                if (used := _cpu_seconds(child.pid)) != seen:
                    seen, since = used, time.monotonic()
                if child.poll() is not None or time.monotonic() - since > STALLED_S:
                    self.kill(role)
                    raise WatchkeeperError(f"{role} did not start: {self.log(role)[-2000:]}")
                time.sleep(0.02)

    def log(self, role: str) -> str:
        """What a role has printed."""
        return (self._folder / f"{role}.log").read_text()

    def kill(self, role: str) -> None:
        """End a role as a crash would."""
        child = self.processes.pop(role)
        child.kill()
        child.wait()

    def stop(self, role: str) -> int:
        """Ask a role to stop; its exit status."""
        child = self.processes.pop(role)
        child.send_signal(signal.SIGTERM)
        try:
            return child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def cpu_seconds(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """CPU seconds that each process has spent, its own and the kernel's for it."""
    return {role: sum(process.cpu_times()[:2]) for role, process in processes.items()}


def _cpu_seconds(pid: int) -> float:
    try:
        return sum(psutil.Process(pid).cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0
