"""The ways to find a service, each against the real thing where this machine can have it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.finder import described_finder, finder_of
from agent.finders.control_url import ControlUrl
from agent.finders.pid_file import PidFile
from agent.finders.process import Process
from agent.finders.supervisord import Supervisord
from agent.instance import Instance
from agent.keepers import Keepers
from agent.registry import host_faults
from chaos.shop.running import READY_FILE, started_shop
from tests.bare_host import BareService
from tests.waiting import until
from watchkeeper.conformance import agent_finder_suite
from watchkeeper.errors import AgentError


@pytest.fixture
def service() -> Iterator[BareService]:
    service = BareService(workers=1)
    service.start()
    try:
        yield service
    finally:
        service.end()


class TestProcess(agent_finder_suite({"process": Process})):  # type: ignore[misc]
    @pytest.fixture(params=["pattern", "port", "both"])
    def settings(self, service: BareService, request: pytest.FixtureRequest) -> Mapping[str, Any]:
        without = {"pattern": "port", "port": "pattern"}.get(request.param)
        return {key: value for key, value in service.settings.items() if key != without}


class TestPidFile(agent_finder_suite({"pid_file": PidFile})):  # type: ignore[misc]
    @pytest.fixture
    def settings(self, service: BareService, tmp_path: Path) -> Mapping[str, Any]:
        """A daemon that writes its process id, as `start` does here."""
        path = tmp_path / "orders.pid"
        path.write_text(f"{service.instance().pid}\n")
        start = ["/bin/sh", "-c", f'echo $$ > {path}; exec "$@"', "sh", *service.settings["start"]]
        return {"path": str(path), "pattern": service.mark, "port": service.port, "start": start}


def test_a_pid_file_that_outlived_its_process_finds_nothing(tmp_path: Path) -> None:
    """Nor does one whose process id belongs to another program now, and one of nonsense is an error."""
    path = tmp_path / "orders.pid"
    finder = PidFile({"path": str(path), "pattern": "orders-server"})
    for text in ("4194304", f"{os.getpid()}", "1", ""):
        path.write_text(text)
        assert finder.find() == ()
    path.write_text("a dog")
    with pytest.raises(AgentError, match="holds no process id"):
        finder.find()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[BareService, Mapping[str, Any]]]:
    """A program of a real supervisord, which starts it again when it dies."""
    service = BareService()
    program = tmp_path / "orders.sh"
    program.write_text(f"#!/bin/sh\nexec {shlex.join(service.settings['start'])}\n")
    program.chmod(0o755)
    try:
        with supervisord(tmp_path, f"[program:orders]\ncommand={program}\nautorestart=true\nstartsecs=0\n") as path:
            until(service.answers, what="supervisord")
            yield service, {"socket": str(path), "program": "orders", "port": service.port}
    finally:
        service.end()


@contextmanager
def supervisord(folder: Path, programs: str) -> Iterator[Path]:
    """A real supervisord with these programs; its socket."""
    path, file = folder / "s.sock", folder / "supervisord.conf"
    file.write_text(
        f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
        f"[unix_http_server]\nfile={path}\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" + programs
    )
    # It warns of a dependency of its own that is going away.
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", file]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(path.exists, what="supervisord")
            yield path
        finally:
            process.terminate()
            process.wait()


class TestSupervisord(agent_finder_suite({"supervisord": Supervisord})):  # type: ignore[misc]
    @pytest.fixture
    def settings(self, supervised: tuple[BareService, Mapping[str, Any]]) -> Mapping[str, Any]:
        return supervised[1]


def test_what_supervisord_would_start_again_stays_killed(
    supervised: tuple[BareService, Mapping[str, Any]], tmp_path: Path
) -> None:
    """`kill` tells it to stop the program, and its end to start it."""
    service, settings = supervised
    described = described_finder("supervisord", settings)
    found = finder_of(described).find()[0]
    keepers = Keepers(tmp_path / "state")
    instance = Instance(service="orders", pids=found.pids, port=service.port, finder=described)
    keepers.begin("kill1", host_faults()["kill"], instance, 600.0, {})
    until(lambda: (state := keepers.state("kill1")) and state.effect, what="the effect")
    assert supervisord_says(settings) == "STOPPED"
    keepers.end("kill1", "the test is over")
    until(lambda: (state := keepers.state("kill1")) and state.state == "ended", what="the end")
    assert supervisord_says(settings) == "RUNNING"
    until(service.answers, what="the service")


def test_supervisord_scales_within_its_processes(tmp_path: Path) -> None:
    """The first so many of `numprocs` run; more than there are is refused, and nothing is done twice."""
    program = "[program:pool]\ncommand=sleep 600\nnumprocs=3\nprocess_name=%(program_name)s_%(process_num)d\n"
    with supervisord(tmp_path, f"{program}startsecs=0\n") as path:
        finder = Supervisord({"socket": str(path), "program": "pool:*"})
        until(lambda: len(finder.find()) == 3, what="three processes")
        first = finder.find()[0].pids[0]
        did = finder.act("scale", lambda *_: None, {"count": 1}, "")
        assert did == "1 of 3 processes of pool:* run; started 0, stopped 2"
        assert [found.pids[0] for found in finder.find()] == [first]
        assert finder.act("scale", lambda *_: None, {"count": 1}, "") == "nothing: 1 of pool:* run already"
        finder.act("scale", lambda *_: None, {"count": 2}, "")
        assert len(finder.find()) == 2
        with pytest.raises(AgentError, match=r"has 3 processes of pool:\*, not 4: raise its `numprocs`"):
            finder.act("scale", lambda *_: None, {"count": 4}, "")
        assert len(finder.find()) == 2


def supervisord_says(settings: Mapping[str, Any]) -> str:
    (process,) = Supervisord(settings)._processes()
    return str(process["statename"])


def test_what_supervisord_does_not_have_is_said(supervised: tuple[BareService, Mapping[str, Any]]) -> None:
    settings = supervised[1]
    assert Supervisord({**settings, "program": "billing"}).lacks() == "supervisord has no program billing"
    assert "does not run" in Supervisord({**settings, "socket": "/nowhere/s.sock"}).lacks()


class TestControlUrl(agent_finder_suite({"control_url": ControlUrl})):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
        """The demo's shop, which speaks the control API; it offers no `stop`."""
        folder: Path = tmp_path_factory.mktemp("shop")
        with started_shop(folder):
            ready = json.loads((folder / READY_FILE).read_text())
            (folder / "token").write_text(ready["token"])
            yield {"url": ready["control"], "service": "cart", "token_file": str(folder / "token")}
