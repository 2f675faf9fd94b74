"""Every role under one supervisor: killed in turn between page and acknowledgement, and back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from alerting.incidents.commands import Incidents
from chaos.demo.ports import free_port
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, load
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles import ready, up
from watchkeeper.roles.doctor import roles as roles_check
from watchkeeper.roles.readiness import ROLES, hung_roles
from watchkeeper.roles.up import Supervisor
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration on free ports."""
    tree = {
        "data_dir": str(tmp_path / "data"),
        "store": {"port": free_port()},
        "ingest": {"otlp_http_port": free_port(), "otlp_grpc_port": free_port()},
        "web": {"port": free_port()},
        "slack": {"stand_in": {"port": free_port()}},
        "roles": {"hung_after_s": 10},
        # What is opened here fires until it is resolved here: no detector sees it.
        "watch": {"tick_s": 3600},
    }
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.fixture
def config(path: Path) -> Config:
    return load(path)


@pytest.fixture
def said() -> list[str]:
    """What the terminal shows."""
    return []


@pytest.fixture
def supervisor(config: Config, path: Path, said: list[str]) -> Iterator[Supervisor]:
    """Every role, running."""
    running = Supervisor(config, path, notify=said.append)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def messages(config: Config) -> list[dict[str, object]]:
    """What a human saw in the channel."""
    url = f"http://127.0.0.1:{config.slack.stand_in.port}/standin/messages"
    try:
        found: list[dict[str, object]] = httpx.get(url, trust_env=False).json()["messages"]
    except httpx.HTTPError:
        return []
    return found


def test_every_role_comes_back_and_the_page_is_seen_once(
    supervisor: Supervisor, config: Config, said: list[str]
) -> None:
    """kill -9 of each role between page and acknowledgement: it is started again, and a human sees one page."""
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    now = datetime.now(UTC)
    finding = Finding(
        detector="test",
        detector_version="1",
        kind="errors",
        service="cart",
        summary="cart fails",
        onset=now,
        seen_at=now,
        score=1.0,
    )
    (incident_id,) = incidents.observe([finding])
    until(lambda: len(messages(config)) == 1, tend=supervisor.tend)
    for role, pid in supervisor.pids().items():
        os.kill(pid, signal.SIGKILL)

        def is_back(role: str = role, pid: int = pid) -> bool:
            found = ready.read(config, role)
            return found is not None and found.pid != pid and supervisor.pids().get(role) == found.pid

        until(is_back, tend=supervisor.tend)
        assert any(line.startswith(f"{role} ended (signal SIGKILL)") for line in said)
    (message,) = messages(config)
    press = {"channel": "C0INCIDENTS", "ts": message["ts"], "action_id": "acknowledge", "user": "U0ONCALL"}
    url = f"http://127.0.0.1:{config.slack.stand_in.port}/standin/press"
    assert httpx.post(url, json=press, timeout=120, trust_env=False).json()["ok"]
    until(lambda: incidents.get(incident_id).human_state == "acknowledged", tend=supervisor.tend)
    assert len(messages(config)) == 1
    assert set(supervisor.restarts.values()) == {1}
    db.close()


def test_a_hung_role_is_named_and_started_again(
    supervisor: Supervisor, config: Config, said: list[str], path: Path
) -> None:
    """SIGSTOP of each role in turn: the others and doctor say so, and the supervisor puts a new one in its place."""
    for role, pid in supervisor.pids().items():
        os.kill(pid, signal.SIGSTOP)
        until(lambda role=role: role in hung_roles(config))
        assert any(result.status == "problem" and role in result.seen for result in roles_check(config))
        if role != "web":
            answer = httpx.get(f"http://127.0.0.1:{config.web.port}/readyz", timeout=60, trust_env=False)
            assert (answer.status_code, role in answer.text) == (503, True)

        def is_back(role: str = role, pid: int = pid) -> bool:
            found = ready.read(config, role)
            return found is not None and found.pid != pid and supervisor.pids().get(role) == found.pid

        until(is_back, tend=supervisor.tend)
        assert any(line.startswith(f"{role} (pid {pid}) hangs") for line in said)
    until(lambda: not hung_roles(config), tend=supervisor.tend)
    assert set(supervisor.restarts.values()) == {1}


def test_a_second_up_is_told_who_is_first_and_a_start_says_what_it_does(config: Config, path: Path) -> None:
    """Output is in a file at once; SIGINT during the start, and afterwards, leaves nothing running."""
    out = path.with_suffix(".out")
    config.data_dir.mkdir()
    (config.data_dir / "state.db").write_text("not a database\n" * 100)
    command = [sys.executable, "-m", "watchkeeper.cli.main", "up", "--config", str(path)]
    for moment in ("is kept as", "Ctrl-C stops everything."):
        with out.open("wb") as file:
            first = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            until(lambda moment=moment: moment in out.read_text())
            second = subprocess.run(command, capture_output=True, text=True, timeout=100)
            assert second.returncode == 1
            assert f"`watchkeeper up` is already running on {config.data_dir} (pid {first.pid})" in second.stderr
            assert "Traceback" not in second.stderr
        finally:
            first.send_signal(signal.SIGINT)
        assert first.wait(120) == 0
        assert "Traceback" not in out.read_text()
        assert all(ready.read(config, role) is None for role in ROLES)
    assert (config.data_dir / "state.db").read_bytes().startswith(b"SQLite format 3")
    assert len([one for one in config.data_dir.glob("state.db.damaged-*") if one.suffix != ".note"]) == 1
    for role in ("store", "ingest", "watch", "web", "standin"):
        assert f"{role}: ready (" in out.read_text()
    for path in (config.data_dir / name for name in ("log", "run", "secrets", "ingest-log", "store", "state.db")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_role_that_does_nothing_is_given_up_with_its_last_words(
    config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that hangs ends: the message names the role, what it was busy with, and its log."""
    monkeypatch.setattr(up, "STILL_S", 4.0)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line == "store: starting":
            os.kill(hanging.pids()["store"], signal.SIGSTOP)

    hanging = Supervisor(config, path, notify=say)
    try:
        with pytest.raises(WatchkeeperError, match=r"(?s)store is not ready, and nothing of it moved.*store\.log"):
            hanging.start()
        os.kill(hanging.pids()["store"], signal.SIGCONT)
    finally:
        hanging.stop()


def test_a_taken_port_is_told_with_its_owner(config: Config, path: Path) -> None:
    """A start that can't succeed ends with one clear message, and nothing is left running."""
    with socket.create_server(("127.0.0.1", config.web.port)):
        failing = Supervisor(config, path, notify=lambda _: None)
        with pytest.raises(WatchkeeperError, match=r"web could not start \(exit status 1\):\n.*web\.port"):
            failing.start()
        failing.stop()
        assert failing.pids() == {}
