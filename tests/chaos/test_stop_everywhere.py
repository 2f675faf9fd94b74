"""`watchkeeper chaos stop --all`: every agent is told at once, and who could not be reached is named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from runbooks.targets import agent as agent_target
from runbooks.targets.agent import Agent
from tests.bare_host import BareService, keepers_of
from tests.runbooks.agent_server import agent_server, service_row
from tests.running_agent import TOKEN, RunningAgent, allowed
from tests.waiting import until
from watchkeeper import composite_target
from watchkeeper.composite_target import CompositeTarget
from watchkeeper.errors import TargetError
from watchkeeper.target import TargetSettings

WATCHKEEPER = Path(sys.executable).with_name("watchkeeper")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[RunningAgent]]:
    """Three agents, each with a service whose processes are stopped."""
    with ExitStack() as stack:
        running = []
        for number in range(3):
            service = BareService()
            stack.callback(service.end)
            service.start()
            folder = tmp_path / f"host{number}"
            folder.mkdir()
            host = RunningAgent(folder, allowed(service))
            stack.callback(until, lambda host=host: not keepers_of(host.root), what="the end of the keepers")
            stack.callback(host.stop)
            host.start()
            host.with_effect(host.begin("hang"))
            running.append(host)
        yield running


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def nobody() -> str:
    """An address where nothing listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def has_faults(host: RunningAgent) -> bool:
    return host.good("GET", "/target")["faults"] > 0


def test_one_that_never_answers_delays_no_other(
    hosts: list[RunningAgent], mute: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fault has ended, and every other answer is known, while it still says nothing."""
    monkeypatch.setattr(agent_target, "STOP_TIMEOUT_S", 3600.0)
    monkeypatch.setattr(composite_target, "PATIENCE_S", 3600.0)
    urls = {"mute": url_of(mute), "gone": nobody(), **{f"host{at}": host.url for at, host in enumerate(hosts)}}
    targets = {name: Agent(TargetSettings(url=url, token=TOKEN)) for name, url in urls.items()}
    everywhere, heard, raised = CompositeTarget(targets, name="x"), {}, []

    def stop() -> None:
        try:
            everywhere.ask_each("stop", heard.__setitem__)
        except TargetError as error:
            raised.append(error.message)

    thread = threading.Thread(target=stop)
    thread.start()
    connection, _ = mute.accept()
    try:
        until(lambda: not any(map(has_faults, hosts)), what="the end of every fault")
        until(lambda: set(heard) == set(urls) - {"mute"}, what="the answers of all others")
        assert not raised
    finally:
        connection.close()
        thread.join()
        everywhere.close()
    assert {name for name, reason in heard.items() if not reason} == {"host0", "host1", "host2"}
    assert "mute: the target at" in raised[0]
    assert "gone: the target at" in raised[0]


def test_what_could_not_be_reached_is_named(hosts: list[RunningAgent], tmp_path: Path) -> None:
    """Each target has a line, the status says that something failed, and `resume` is the way back."""
    config, environment = tmp_path / "w.yaml", {**os.environ, "A_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    urls = {"gone": nobody(), **{f"host{at}": host.url for at, host in enumerate(hosts)}}
    targets = {name: {"kind": "agent", "url": url, "token_env": "A_TOKEN"} for name, url in urls.items()}
    targets["supervisor"] = {"kind": "control-api", "url": nobody(), "token_env": "A_TOKEN"}
    config.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": targets}))

    def chaos(*words: str) -> subprocess.CompletedProcess[str]:
        command = [WATCHKEEPER, "chaos", *words, "--config", config]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = chaos("stop", "--all")
    words = "every fault is ended, and new ones are refused"
    nothing = "supervisor: holds no faults by itself"
    assert sorted(done.stdout.splitlines()) == [*(f"host{at}: {words}" for at in range(3)), nothing]
    assert done.stderr.startswith("gone: the target at http://127.0.0.1:")
    assert done.returncode == 1
    assert not any(map(has_faults, hosts))
    assert all(host.good("GET", "/target")["stopped"] for host in hosts)
    resumed = sorted(chaos("resume").stdout.splitlines())
    assert resumed == [*(f"host{at}: takes faults again" for at in range(3)), nothing]
    assert not any(host.good("GET", "/target")["stopped"] for host in hosts)


def test_a_single_target_that_is_gone_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "w.yaml"
    targets = {"gone": {"kind": "agent", "url": nobody(), "token_env": "A_TOKEN"}}
    config.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "targets": targets}))
    environment = {**os.environ, "A_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    command = [WATCHKEEPER, "chaos", "stop", "--all", "--config", config]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gone: the target at http://127.0.0.1:")
    assert len(done.stderr.splitlines()) == 1


def test_what_is_still_ending_is_no_success() -> None:
    """A service that has to be started again takes longer than an agent waits: it says so."""
    with agent_server(service_row("payments")) as server:
        server.ending = [{"fault": "kill", "service": "payments"}]
        target = Agent(TargetSettings(url=server.url, token="t"))
        with pytest.raises(TargetError, match="kill of payments is still ending"):
            target.stop()
        target.close()
