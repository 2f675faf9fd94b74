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
from urllib.parse import parse_qs, urlsplit

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
    """A daemon whose containers' processes are real ones of this host; all have the label `app=orders`."""

    daemon_threads = True

    def __init__(self, path: Path, *services: BareService) -> None:
        super().__init__(str(path), DockerAnswers)
        self.containers = {service.name: service for service in services}


class DockerAnswers(http.server.BaseHTTPRequestHandler):
    server: Dockerd

    def do_GET(self) -> None:
        if self.path.startswith("/v1.41/containers/json?"):
            asked = parse_qs(urlsplit(self.path).query)
            matches = asked["all"] == ["true"] and json.loads(asked["filters"][0]) == {"label": ["app=orders"]}
            self.answer(200, [{"Names": [f"/{name}"]} for name in reversed(self.server.containers)] if matches else [])
            return
        service = self.server.containers.get(self.path.split("/")[3])
        if service is None or self.path != f"/v1.41/containers/{service.name}/json":
            self.unknown()
            return
        found = service.finder.find()
        state = {
            "Status": "running" if found else "exited",
            "Running": bool(found),
            "Pid": found[0].pids[0] if found else 0,
        }
        name = f"/{service.name}"
        self.answer(200, {"Id": "4f66ad9a0b2e", "Name": name, "State": state, "Config": {"Image": "orders:2.3.1"}})

    def do_POST(self) -> None:
        name, verb = self.path.split("/")[3:]
        service = self.server.containers.get(name)
        if service is None:
            self.unknown()
            return
        did = service.finder.act(verb, lambda *_: None, {}, "")
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


class TestDockerByLabel(agent_finder_suite({"docker": Docker})):  # type: ignore[misc]
    @pytest.fixture
    def settings(self, docker: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"label": "app=orders", "socket": docker["socket"], "port": docker["port"]}


def test_docker_scales_within_the_containers_of_a_label(tmp_path: Path) -> None:
    """The first so many by name run; more than there are is refused."""
    services = [BareService(name=f"orders-{number}") for number in range(2)]
    with Dockerd(tmp_path / "docker.sock", *services) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            finder = Docker({"label": "app=orders", "socket": str(tmp_path / "docker.sock")})
            did = finder.act("scale", lambda *_: None, {"count": 2}, "")
            assert did == "2 of 2 containers run; started 2, stopped 0"
            assert len(finder.find()) == 2
            finder.act("scale", lambda *_: None, {"count": 1}, "")
            assert [found.pids[0] for found in finder.find()] == [services[0].instance().pid]
            with pytest.raises(AgentError, match="there are 2 containers with the label app=orders, not 3"):
                finder.act("scale", lambda *_: None, {"count": 3}, "")
            other = Docker({"label": "app=billing", "socket": str(tmp_path / "docker.sock")})
            assert other.lacks() == "Docker has no container with the label app=billing"
        finally:
            server.shutdown()
            thread.join()
            for service in services:
                service.end()


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
