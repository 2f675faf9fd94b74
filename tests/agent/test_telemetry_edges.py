"""The agent's own metrics and alerts: judged on numbers, and through a real agent and a real platform."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.keepers import Keepers
from agent.records import FaultState
from agent.telemetry.alerts import Alert, Alerts
from agent.telemetry.conditions import Filling, Held
from agent.telemetry.edges import HostWatch, ServiceWatch
from agent.telemetry.section import AlertSection
from bench.own_roles import OwnRoles
from tests.bare_host import BareService
from tests.front_door import front_door
from tests.running_agent import RunningAgent, allowed
from tests.waiting import until
from watchkeeper.ports import free_port
from watchkeeper.state.alerts import AlertState, all_alerts
from watchkeeper.state.database import Database

NOW = 1_800_000_000.0


def test_a_condition_counts_after_a_while_and_ends_after_a_while() -> None:
    """It began when it was first seen; a look without an answer concludes nothing."""
    held = Held(for_s=10, clear_s=20)
    assert [held.look(True, at) for at in (100, 105, 109.9)] == [False] * 3
    assert held.look(True, 110)
    assert held.since == 100
    assert not held.look(False, 111)
    assert not held.look(None, 140)
    assert [held.look(False, at) for at in (150, 160)] == [False] * 2
    assert held.look(False, 170)
    assert held.since is None


def test_a_condition_that_flickers_does_not_count() -> None:
    held = Held(for_s=10, clear_s=10)
    assert not any(held.look(at % 3 != 0, at) for at in range(100, 200))


def test_a_condition_from_before_a_restart_goes_on() -> None:
    held = Held(for_s=10, clear_s=10, since=50.0)
    assert not held.look(True, 100)
    assert held.since == 50.0


def test_a_disk_that_fills_is_full_in_time() -> None:
    """By its slope, once there is a minute of it; a file that was written once is no trend."""
    filling = Filling()
    left = [filling.full_in_s(10_000 - 10 * at, at) for at in range(0, 100, 5)]
    assert left[:12] == [None] * 12
    assert left[-1] == pytest.approx((10_000 - 950) / 10)
    assert all(Filling().full_in_s(5_000, at) is None for at in range(0, 300, 5))
    once = Filling()
    assert [once.full_in_s(10_000 if at < 70 else 1_000, at) for at in range(0, 200, 5)][-1] is None


class Watched:
    """A service's watch over a state folder, looked at by times."""

    def __init__(self, root: Path, *, again: bool = False) -> None:
        self.root = root
        if not again:
            (root / "telemetry").mkdir()
        self.alerts = Alerts(root / "telemetry" / "alerts.json", {"host": "host-7"})
        self.watch = ServiceWatch(root, AlertSection(gone_seconds=20), Keepers(root), self.alerts)

    def look(self, at: float, running: int | None = 0) -> Alert | float | None:
        verdict = self.watch.look("orders", running, NOW + at)
        if isinstance(verdict, Alert):
            self.alerts.begin(verdict)
        elif verdict:
            self.alerts.end("gone orders", verdict)
        self.watch.note(NOW + at)
        return verdict


def test_a_service_that_ran_and_is_gone_is_an_alert_and_its_return_ends_it(tmp_path: Path) -> None:
    """Its start is when it was seen last. One that never ran is none."""
    watched = Watched(tmp_path)
    assert [watched.look(at) for at in (0, 50)] == [None] * 2
    assert watched.look(60, 1) is None
    assert [watched.look(at, running) for at, running in ((65, 0), (70, None), (84, 0))] == [None] * 3
    alert = watched.look(86)
    assert isinstance(alert, Alert)
    assert (alert.name, alert.service, alert.starts_at) == ("ServiceGone", "orders", NOW + 60)
    assert watched.look(120) is None
    assert watched.look(130, 1) == NOW + 130
    assert not watched.alerts.all_firing()


def test_a_restart_of_the_agent_raises_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    first = Watched(tmp_path)
    first.look(0, 1)
    first.look(40, 1)
    second = Watched(tmp_path, again=True)
    assert second.look(100) is None  # it may just be starting, with the host
    assert isinstance(second.look(121), Alert)
    third = Watched(tmp_path, again=True)
    assert third.look(200) is None
    assert third.look(230) is None
    assert third.look(240, 1) == NOW + 240


@pytest.mark.parametrize(
    ("verb", "raised"),
    [("stop", None), ("scale", None), ("restart", 200), ("start", 200), ("", 70)],
)
def test_what_the_agent_was_asked_to_do_is_no_alert(tmp_path: Path, verb: str, raised: int | None) -> None:
    """A stop is meant to last; a restart that does not come back is one after a while."""
    watched = Watched(tmp_path)
    watched.look(40, 1)
    rows = [{"at": NOW + 46, "what": "verb.asked", "service": "billing", "verb": "stop"}]
    if verb:
        rows.insert(0, {"at": NOW + 45, "what": "verb.asked", "service": "orders", "verb": verb})
    (tmp_path / "audit.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = next((at for at in range(45, 400, 5) if isinstance(watched.look(at), Alert)), None)
    assert (found is None) == (raised is None)
    if raised:
        assert found is not None
        assert raised - 35 <= found <= raised


def test_what_a_fault_of_the_agent_broke_is_no_alert(tmp_path: Path) -> None:
    """Until two minutes after its end. What does not come back by then is gone."""
    watched = Watched(tmp_path)
    watched.look(40, 1)
    state = FaultState(
        id="f1", service="orders", fault="kill", state="ended", began_at=NOW + 42, ends_at=NOW + 90, ended_at=NOW + 90
    )
    (tmp_path / "ended").mkdir()
    (tmp_path / "ended" / "f1.json").write_text(json.dumps(state.as_json()))
    found = next((at for at in range(45, 400, 5) if isinstance(watched.look(at), Alert)), None)
    assert found is not None
    assert found >= 210


def test_processes_that_the_kernel_killed_are_an_alert(tmp_path: Path) -> None:
    """Counted over restarts of the agent, which may be one of them."""
    (tmp_path / "telemetry").mkdir()
    alerts = Alerts(tmp_path / "alerts.json", {})
    counts = iter([3, 3, 5, 5, 5, 5])

    def look(at: float, *, until_kept: bool = True) -> list[Any]:
        host = HostWatch("host-7", AlertSection(), alerts, tmp_path, kills=lambda: next(counts))
        changes = list(host.look(NOW + at, at))
        kept = [each for each in changes if (each[0] if isinstance(each, tuple) else each.key) == "oom"]
        if until_kept:
            for each in kept:
                if isinstance(each, Alert):
                    alerts.begin(each)
            host.note()
        return kept

    assert [look(0), look(5)] == [[], []]
    assert len(look(10, until_kept=False)) == 1  # killed before the alert was on the disk
    (alert,) = look(15)
    assert alert.summary == "the kernel of host-7 killed 2 processes for lack of memory"
    assert look(20) == []
    assert look(700) == [("oom", NOW + 700)]


def test_kills_that_cannot_be_noted_are_counted_once(tmp_path: Path) -> None:
    """A disk that takes nothing must not keep the alert firing for ever."""
    alerts = Alerts(tmp_path / "alerts.json", {})  # and there is no folder to note kills in
    counts = iter([3, 5, 5, 5])
    host = HostWatch("host-7", AlertSection(), alerts, tmp_path / "missing", kills=lambda: next(counts))
    seen: list[Any] = []
    for at in (0.0, 5.0, 10.0, 700.0):
        for each in host.look(NOW + at, at):
            if isinstance(each, Alert) and each.key == "oom":
                alerts.begin(each)
                seen.append(at)
            elif each == ("oom", NOW + at):
                seen.append(each)
        host.note()
    assert seen == [5.0, ("oom", NOW + 700)]


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A platform's store and ingest roles."""
    with OwnRoles(tmp_path_factory.mktemp("platform"), {"ingest": {"segment_seconds": 0.1}}) as own:
        own.start("store", "ingest")
        yield own


@pytest.fixture
def service() -> Iterator[BareService]:
    made = BareService(name=f"orders-{secrets.token_hex(3)}", workers=1)
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def agent(roles: OwnRoles, service: BareService, tmp_path: Path) -> Iterator[RunningAgent]:
    telemetry = {
        "to": roles.otlp_url,
        "receive": {"port": free_port()},
        "interval_seconds": 1,
        "alerts": {"gone_seconds": 1},
        "log": {"keep_free_mib": 0},
    }
    made = RunningAgent(tmp_path, allowed(service), telemetry=telemetry)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def alerts_of(roles: OwnRoles, service: str) -> list[AlertState]:
    states = all_alerts(Database.open(roles.config), 100)
    return [state for state in states if state.finding and state.finding.service == service]


def seen_by(agent: RunningAgent, service: BareService) -> None:
    path = agent.root / "telemetry" / "ran.json"
    until(lambda: path.exists() and service.name in path.read_text(), what="a look at the service")


def kill(service: BareService) -> None:
    for pid in service.instance().pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.xdist_group("agent-edges")
def test_a_service_that_dies_is_an_alert_and_is_resolved(
    roles: OwnRoles, agent: RunningAgent, service: BareService
) -> None:
    """One row at the platform, also over kill -9 of the agent; with its true start; ended by its sender."""
    seen_by(agent, service)
    before = datetime.now(UTC)
    kill(service)
    (state,) = until(lambda: alerts_of(roles, service.name), what="the alert")
    assert state.finding
    assert state.finding.severity == "page"
    assert state.ended_at is None
    assert f"{service.name} is gone: no process of it runs since" in state.finding.summary
    assert abs((state.finding.onset - before).total_seconds()) < 120
    agent.kill()
    agent.start()
    until(lambda: agent.good("GET", "/target")["telemetry"]["alerts"], what="the alert after a restart")
    service.start()
    until(lambda: alerts_of(roles, service.name)[0].ended_at, what="the resolution")
    (resolved,) = alerts_of(roles, service.name)
    assert (resolved.ended_by, resolved.first_at) == ("its sender", state.first_at)
    assert agent.good("GET", "/target")["telemetry"]["alerts"] == []


@pytest.mark.xdist_group("agent-edges")
def test_an_alert_waits_for_the_platform(roles: OwnRoles, agent: RunningAgent, service: BareService) -> None:
    """It fires and ends while the platform is away: the platform hears of both, with true times, and pages nobody."""
    seen_by(agent, service)
    roles.stop("ingest")
    kill(service)
    kept = agent.root / "telemetry" / "alerts.json"
    until(lambda: kept.exists() and json.loads(kept.read_text()), what="the alert")
    until(lambda: agent.good("GET", "/target")["telemetry"]["alerts_trouble"], what="the trouble")
    service.start()
    until(lambda: json.loads(kept.read_text())[0]["ended_at"], what="the end")
    (alert,) = json.loads(kept.read_text())
    roles.start("ingest")
    (state,) = until(lambda: alerts_of(roles, service.name), what="the alert at the platform")
    assert state.finding
    assert state.ended_at
    assert state.finding.onset.timestamp() == pytest.approx(alert["starts_at"], abs=0.001)
    until(lambda: json.loads(kept.read_text()) == [], what="the end of the list")


@pytest.mark.xdist_group("agent-edges")
def test_the_metrics_of_host_and_service_are_in_the_store(
    roles: OwnRoles, agent: RunningAgent, service: BareService
) -> None:
    """Under the names of the semantic conventions; a service's are summed over its processes."""
    columns = "ServiceName, MetricName, Value, ResourceAttributes"
    query = (
        "SELECT MetricName AS name, max(Value) AS value, any(ResourceAttributes['service.instance.id']) AS instance, "
        "any(ResourceAttributes['host.name']) AS host FROM "
        f"(SELECT {columns} FROM otel_metrics_gauge UNION ALL SELECT {columns} FROM otel_metrics_sum) "
        "WHERE ServiceName = {s:String} GROUP BY MetricName"
    )

    def read(name: str, wanted: str) -> dict[str, dict[str, Any]]:
        def look() -> dict[str, dict[str, Any]]:
            rows = {str(row["name"]): row for row in roles.telemetry.query(query, {"s": name}).to_pylist()}
            return rows if wanted in rows else {}

        return until(look, what=f"metrics of {name}")

    its = read(service.name, "process.cpu.utilization")
    assert {
        "process.cpu.time",
        "process.memory.usage",
        "process.memory.virtual",
        "process.thread.count",
        "process.unix.file_descriptor.count",
        "process.uptime",
    } <= set(its)
    assert its["process.thread.count"]["value"] == 2  # two processes
    assert its["process.memory.usage"]["value"] > 2 << 20
    assert its["process.memory.usage"]["instance"] == f"host-7/{service.instance().name}"
    host = read("host-7", "system.cpu.utilization")
    assert {
        "system.memory.usage",
        "system.memory.utilization",
        "system.network.io",
        "watchkeeper.agent.telemetry.queued.size",
        "watchkeeper.agent.telemetry.sent",
    } <= set(host)
    assert 0 <= host["system.memory.utilization"]["value"] <= 1
    assert host["system.uptime"]["host"] == its["process.uptime"]["host"] != ""


@pytest.mark.xdist_group("agent-edges")
def test_check_prints_what_would_be_sent_and_where(
    roles: OwnRoles, agent: RunningAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the platform answers, and how much disk the log may take; touches nothing."""
    command = front_door(monkeypatch, capsys)
    status, out, _ = command("agent", "check", "--config", str(agent.path))
    assert status == 0
    assert f"go to {roles.otlp_url}" in out
    assert "the platform answers, and takes telemetry from this agent" in out
    assert "may take 1096 MiB of disk and keep bodies for 2 d" in out
    text = agent.path.read_text().replace(roles.otlp_url, "http://127.0.0.1:9")
    agent.path.write_text(text)
    status, out, _ = command("agent", "check", "--config", str(agent.path))
    assert "telemetry: the platform does not answer: " in out
