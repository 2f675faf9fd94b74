"""A service on this host that no supervisor looks after, for tests of the agent: one real process that answers HTTP."""

from __future__ import annotations

import socket
import sys
import uuid
from pathlib import Path
from typing import Any

from agent.conformance import SERVER
from agent.finder import Finder, described_finder, finder_of
from agent.instance import Instance
from agent.processes import PROC, born, send, started_at
from tests.waiting import until
from watchkeeper.ports import free_port


class BareService:
    """A process with a mark in its command line; `workers` is how many more it forks."""

    def __init__(self, *, workers: int = 0, name: str = "orders") -> None:
        self.name = name
        self.port = free_port()
        self.mark = f"bare-{uuid.uuid4().hex}"
        command = [sys.executable, "-I", "-S", "-c", SERVER, str(self.port), self.mark, str(workers)]
        self.settings: dict[str, Any] = {"pattern": self.mark, "port": self.port, "start": command}
        self.described = described_finder("process", self.settings)

    @property
    def finder(self) -> Finder:
        return finder_of(self.described)

    def start(self) -> None:
        self.finder.act("start", lambda *_: None, {}, "")
        until(self.answers, what="the bare service")

    def instance(self) -> Instance:
        found = self.finder.find()[0]
        identity = born(found.pids[0])
        return Instance(
            service=self.name,
            pids=found.pids,
            born=identity,
            started=started_at(identity),
            port=self.port,
            finder=self.described,
        )

    def answers(self, timeout_s: float = 1.0) -> bool:
        """Whether a request is answered."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
                connection.settimeout(timeout_s)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def processes(self) -> tuple[int, ...]:
        """Every process with the mark, stopped ones and those of killed keepers too."""
        return tuple(pid for pid in _pids() if self.mark in _line(pid))

    def end(self) -> None:
        import signal

        while pids := self.processes():
            for pid in pids:
                send(pid, born(pid), signal.SIGKILL)


def _pids() -> tuple[int, ...]:
    return tuple(int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def keepers_of(root: Path) -> tuple[int, ...]:
    """The processes of keepers of this state folder, and of what they forked."""
    return tuple(pid for pid in _pids() if "agent.keeper" in (line := _line(pid)) and str(root) in line)
