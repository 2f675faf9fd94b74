"""Every role under one supervisor, on IPv6 where there is any: each answers, is killed, hangs, and comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from alerting.incidents.commands import Incidents
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, load
from watchkeeper.errors import WatchkeeperError
from watchkeeper.ports import free_port
from watchkeeper.roles import ready, up
from watchkeeper.roles.doctor import roles as roles_check
from watchkeeper.roles.readiness import ROLES, hung_roles
from watchkeeper.roles.up import Supervisor, roles_for
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]


def configured(folder: Path, host: str = "127.0.0.1") -> Path:
    """A configuration on free ports of a host."""
    tree = {
        "data_dir": str(folder / "data"),
        "store": {"host": host, "port": free_port(host)},
        "ingest": {"host": host, "otlp_http_port": free_port(host), "otlp_grpc_port": free_port(host)},
        "web": {"host": host, "port": free_port(host)},
        "slack": {"stand_in": {"host": host, "port": free_port(host)}},
        "roles": {"hung_after_s": 10},
        # What is opened here fires until it is resolved here: no detector sees it.
        "watch": {"tick_s": 3600},
    }
    file = folder / "watchkeeper.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return configured(tmp_path)


@pytest.fixture
def config(path: Path) -> Config:
    return load(path)


@dataclass(frozen=True, kw_only=True)
class Running:
    """Every role, running, and what the terminal shows. One start serves several tests: count from where you begin."""

    config: Config
    supervisor: Supervisor
    said: list[str]

    @property
    def slack(self) -> str:
        return self.config.slack_api_url().removesuffix("/api/")

    def messages(self) -> list[dict[str, object]]:
        """What a human saw in the channel."""
        try:
            shown: list[dict[str, object]] = httpx.get(f"{self.slack}/standin/messages", trust_env=False).json()[
                "messages"
            ]
        except httpx.HTTPError:
            return []
        return shown

    def await_another(self, role: str, pid: int) -> None:
        """Until another process than `pid` is ready in its role."""

        def is_back() -> bool:
            announced = ready.read(self.config, role)
            return announced is not None and announced.pid != pid and self.supervisor.pids().get(role) == announced.pid

        until(is_back, tend=self.supervisor.tend)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    try:
        free_port(host := "::1")
    except OSError:
        host = "127.0.0.1"
    path = configured(tmp_path_factory.mktemp("up"), host)
    said: list[str] = []
    supervisor = Supervisor(load(path), path, notify=said.append)
    try:
        supervisor.start()
        yield Running(config=load(path), supervisor=supervisor, said=said)
    finally:
        supervisor.stop()


@pytest.mark.xdist_group("up")
def test_every_role_serves_on_ipv6(running: Running) -> None:
    """What `validate` takes as a host, each role can listen on, and each other role can reach."""
    config = running.config
    if config.web.host != "::1":
        pytest.skip("this machine has no IPv6")
    for url in (config.web_url, f"http://[::1]:{config.ingest.otlp_http_port}"):
        assert httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
    token = {"Authorization": f"Bearer {config.slack_token()}"}
    assert httpx.post(f"{running.slack}/api/auth.test", headers=token, timeout=60, trust_env=False).json()["ok"]
    with grpc.insecure_channel(f"[::1]:{config.ingest.otlp_grpc_port}") as channel:
        TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=60)


@pytest.mark.xdist_group("up")
def test_every_role_comes_back_and_the_page_is_seen_once(running: Running) -> None:
    """kill -9 of each role between page and acknowledgement: it is started again, and a human sees one page."""
    supervisor, config, before = running.supervisor, running.config, dict(running.supervisor.restarts)
    seen, began = len(running.messages()), len(running.said)
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
    until(lambda: len(running.messages()) == seen + 1, tend=supervisor.tend)
    for role, pid in supervisor.pids().items():
        os.kill(pid, signal.SIGKILL)
        running.await_another(role, pid)
        assert any(line.startswith(f"{role} ended (signal SIGKILL)") for line in running.said[began:])
    (message,) = running.messages()[seen:]
    press = {"channel": "C0INCIDENTS", "ts": message["ts"], "action_id": "acknowledge", "user": "U0ONCALL"}
    assert httpx.post(f"{running.slack}/standin/press", json=press, timeout=120, trust_env=False).json()["ok"]
    until(lambda: incidents.get(incident_id).human_state == "acknowledged", tend=supervisor.tend)
    assert len(running.messages()) == seen + 1
    assert {role: times - before.get(role, 0) for role, times in supervisor.restarts.items()} == dict.fromkeys(ROLES, 1)
    db.close()


@pytest.mark.xdist_group("up")
def test_a_hung_role_is_named_and_started_again(running: Running) -> None:
    """SIGSTOP of all but the web role, then of that: each is named, and the supervisor puts a new one in its place."""
    supervisor, config, before = running.supervisor, running.config, dict(running.supervisor.restarts)
    pids = supervisor.pids()
    assert set(pids) == set(ROLES)
    for frozen in (pids.keys() - {"web"}, {"web"}):
        for role in frozen:
            os.kill(pids[role], signal.SIGSTOP)
        until(lambda frozen=frozen: frozen <= hung_roles(config).keys())
        for role in frozen:
            assert any(result.status == "problem" and role in result.seen for result in roles_check(config))
        if "web" not in frozen:
            answer = httpx.get(f"{config.web_url}/readyz", timeout=60, trust_env=False)
            assert answer.status_code == 503
            assert [role for role in frozen if role not in answer.text] == []
        for role in frozen:
            running.await_another(role, pids[role])
            assert any(line.startswith(f"{role} (pid {pids[role]}) hangs") for line in running.said)
    until(lambda: not hung_roles(config), tend=supervisor.tend)
    assert {role: times - before.get(role, 0) for role, times in supervisor.restarts.items()} == dict.fromkeys(ROLES, 1)


def test_a_second_up_is_told_who_is_first_and_a_start_can_be_stopped(config: Config, path: Path) -> None:
    """Output is in a file at once, that a damaged state was kept included; SIGINT during the start leaves nothing."""
    out = path.with_suffix(".out")
    config.data_dir.mkdir()
    (config.data_dir / "state.db").write_text("not a database\n" * 100)
    command = [sys.executable, "-m", "watchkeeper.cli.main", "up", "--config", str(path)]
    with out.open("wb") as file:
        first = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        until(lambda: "is kept as" in out.read_text())
        second = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert second.returncode == 1
        assert f"`watchkeeper up` is already running on {config.data_dir} (pid {first.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        until((config.data_dir / "state.db").exists)  # the next one, which a role makes while the others still start
    finally:
        first.send_signal(signal.SIGINT)
    assert first.wait(120) == 0
    assert "Traceback" not in out.read_text()
    assert [role for role in ROLES if ready.read(config, role)] == []
    assert (config.data_dir / "state.db").read_bytes().startswith(b"SQLite format 3")
    assert len([one for one in config.data_dir.glob("state.db.damaged-*") if one.suffix != ".note"]) == 1


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
    with socket.create_server(("127.0.0.1", config.ingest.otlp_http_port)):
        failing = Supervisor(config, path, notify=lambda _: None)
        with pytest.raises(WatchkeeperError, match=r"ingest could not start \(exit status 1\):\n.*otlp_http_port"):
            failing.start()
        failing.stop()
        assert failing.pids() == {}


def test_the_stand_in_starts_only_where_slack_is_a_channel() -> None:
    """Whoever is paged by another channel needs no page that stands in for Slack."""
    assert "standin" in roles_for(Config())
    by_mail = {"people": [{"id": "oncall", "name": "Ana", "addresses": {"mail": "ana@example.org"}}]}
    assert "standin" not in roles_for(Config.model_validate({"channels": {"mail": {}}, "oncall": by_mail}))
