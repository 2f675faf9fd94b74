"""The web role and the stand-in as processes of their own, whose memory can be read."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.waiting import until
from watchkeeper.config import Config, load
from watchkeeper.ports import free_port
from watchkeeper.roles import ready


@dataclass
class Port:
    """One running role."""

    role: str
    number: int
    process: psutil.Process
    log: Path

    def peak_mib(self) -> float:
        """The most memory that it ever held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def connect(self) -> socket.socket:
        """A connection, with a generous time-out."""
        return socket.create_connection(("127.0.0.1", self.number), timeout=60)


@pytest.fixture(scope="session")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Port]]:
    """Both roles, running; by role."""
    folder = tmp_path_factory.mktemp("doors")
    tree = {
        "data_dir": str(folder / "data"),
        "web": {"port": free_port()},
        "slack": {"stand_in": {"port": free_port()}},
    }
    path = folder / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump(tree))
    config = load(path)
    command = [str(Path(sys.executable).with_name("watchkeeper"))]
    children = {}
    for role in ("web", "standin"):
        with (folder / f"{role}.log").open("wb") as log:
            children[role] = subprocess.Popen([*command, role, "--config", str(path)], stdout=log, stderr=log)
    try:
        yield {role: _port(config, role, child, folder) for role, child in children.items()}
    finally:
        for child in children.values():
            child.terminate()
        for child in children.values():
            child.wait(60)


def _port(config: Config, role: str, child: subprocess.Popen[bytes], folder: Path) -> Port:
    def found() -> int | None:
        assert child.poll() is None, (folder / f"{role}.log").read_text()
        announced = ready.read(config, role)
        return announced.ports["http"] if announced else None

    number = until(found, what=f"the {role} role")
    assert number
    return Port(role=role, number=number, process=psutil.Process(child.pid), log=folder / f"{role}.log")
