"""Docker and systemd cannot run on the machines that build this: their finders against what speaks as they do.

Docker is a real HTTP server on a Unix socket with the answers of Docker's API (v1.41: inspect, start, stop, restart).
`systemctl` is a program that prints what `systemctl show` prints. The processes behind both are real.
"""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.finders.docker import Docker
from agent.finders.systemd import Systemd
from tests.bare_host import BareService
from watchkeeper.conformance import agent_finder_suite
from watchkeeper.errors import AgentError


@pytest.fixture
def service() -> Iterator[BareService]:
    service = BareService()
    service.start()
    try:
        yield service
    finally:
        service.end()


class Dockerd(socketserver.ThreadingUnixStreamServer):
    """A daemon with one container, `orders`, whose process is a real one of this host."""

    daemon_threads = True

    def __init__(self, path: Path, service: BareService) -> None:
        super().__init__(str(path), DockerAnswers)
        self.service = service


class DockerAnswers(http.server.BaseHTTPRequestHandler):
    server: Dockerd

    def do_GET(self) -> None:
        found = self.server.service.finder.find()
        state = {
            "Status": "running" if found else "exited",
            "Running": bool(found),
            "Pid": found[0].pids[0] if found else 0,
        }
        container = {"Id": "4f66ad9a0b2e", "Name": "/orders", "State": state, "Config": {"Image": "orders:2.3.1"}}
        self.answer(200, container) if self.path == "/v1.41/containers/orders/json" else self.unknown()

    def do_POST(self) -> None:
        verb = self.path.rpartition("/")[2]
        if self.path != f"/v1.41/containers/orders/{verb}":
            self.unknown()
            return
        did = self.server.service.finder.act(verb, lambda *_: None, {}, "")
        self.answer(304 if did.startswith("nothing") else 204, None)

    def unknown(self) -> None:
        self.answer(404, {"message": "No such container: billing"})

    def answer(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.41")
        if body is not None:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "docker"

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def docker(service: BareService, tmp_path: Path) -> Iterator[Mapping[str, Any]]:
    path = tmp_path / "docker.sock"
    with Dockerd(path, service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield {"container": "orders", "socket": str(path), "port": service.port}
        finally:
            server.shutdown()
            thread.join()


class TestDocker(agent_finder_suite({"docker": Docker})):  # type: ignore[misc]
    @pytest.fixture
    def settings(self, docker: Mapping[str, Any]) -> Mapping[str, Any]:
        return docker


def test_what_docker_does_not_have_is_said(docker: Mapping[str, Any], service: BareService) -> None:
    """By the daemon's own words; a daemon that is away is another sentence."""
    assert Docker(docker).find()[0].version == "orders:2.3.1"
    assert "404: No such container: billing" in Docker({**docker, "container": "billing"}).lacks()
    assert Docker({**docker, "socket": "/nowhere/docker.sock"}).lacks() == "this user can't use /nowhere/docker.sock"
    with pytest.raises(AgentError, match="Docker does not answer"):
        Docker({**docker, "socket": "/nowhere/docker.sock"}).find()


SYSTEMCTL = """#!{python} -IS
import json, subprocess, sys
verb, unit = sys.argv[1], sys.argv[-1]
if unit != "orders.service":
    print("LoadState=not-found\\nActiveState=inactive\\nMainPID=0\\nControlGroup=")
    sys.exit(0)
if verb == "show":
    shown = subprocess.run(["pgrep", "-f", "{mark}"], capture_output=True, text=True).stdout.split()
    print("LoadState=loaded\\nActiveState=active\\nMainPID=" + (shown[0] if shown else "0"))
    print("ControlGroup=/system.slice/orders.service\\nRestart=always")
if verb in ("stop", "restart"):
    subprocess.run(["pkill", "-KILL", "-f", "{mark}"])
if verb in ("start", "restart"):
    if subprocess.run(["pgrep", "-f", "{mark}"], capture_output=True).returncode:
        quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.Popen(json.loads('''{start}'''), start_new_session=True, **quiet)
"""


class TestSystemd(agent_finder_suite({"systemd": Systemd})):  # type: ignore[misc]
    @pytest.fixture
    def settings(self, service: BareService, tmp_path: Path) -> Mapping[str, Any]:
        return systemd_settings(service, tmp_path)


def systemd_settings(service: BareService, folder: Path) -> Mapping[str, Any]:
    program = folder / "systemctl"
    start = json.dumps(service.settings["start"]).replace("\\", "\\\\")
    program.write_text(SYSTEMCTL.format(python=os.path.realpath(sys.executable), mark=service.mark, start=start))
    program.chmod(0o755)
    return {"unit": "orders.service", "systemctl": str(program), "port": service.port}


def test_what_systemd_does_not_have_is_said(service: BareService, tmp_path: Path) -> None:
    settings = systemd_settings(service, tmp_path)
    assert Systemd({**settings, "unit": "billing.service"}).lacks() == "systemd has no unit billing.service (not-found)"
    assert Systemd({**settings, "systemctl": "/nowhere/systemctl"}).lacks() == "this host has no systemctl"
