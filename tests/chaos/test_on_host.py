"""Faults that a target holds: begun, proved and ended through it, and what is said where that fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from chaos import on_host
from chaos.experiment import Experiment, experience, run, validate
from chaos.fault import measure_baseline, prove, services_for, why_not
from chaos.faults.hang import Hang
from chaos.on_host import EitherWay, OnHost, either_way, end_held
from chaos.record import Records
from chaos.registry import fault_named, faults
from runbooks.targets.agent import Agent
from tests.front_door import front_door
from tests.runbooks.agent_server import AgentServer, agent_server, service_row
from watchkeeper.errors import ChaosError, TargetError
from watchkeeper.target import Target, TargetSettings, open_target

PROBED = {"probe": True, "can": ["start", "fault:hang", "fault:memory", "fault:cpu", "lease"]}


@pytest.fixture
def server() -> Iterator[AgentServer]:
    """An agent with a service that answers requests and a worker that takes none."""
    with agent_server(service_row("web", **PROBED), service_row("worker", can=["fault:hang"])) as each:
        yield each


@pytest.fixture
def target(server: AgentServer) -> Iterator[Target]:
    reached = open_target("agent", TargetSettings(url=server.url, token="t"))
    yield reached
    reached.close()


def test_an_experiment_runs_through_the_agent(server: AgentServer, target: Target, tmp_path: Path) -> None:
    """Begun with its bound, proved by a failed request and the host's words, held, and ended."""
    seen: list[str] = []
    experiment = Experiment(fault=fault_named("hang"), service="web", bound_s=60)
    journal = run(experiment, target, Records(tmp_path), lambda effect: seen.append(server.faults["f0"]["state"]))
    assert (journal.status, journal.effect.proved) == ("completed", True)
    assert journal.effect.detail == "pid 7 is stopped, and a request ends in ReadTimeout"
    assert seen == ["holding"]
    row = server.faults["f0"]
    assert (row["state"], row["fault"], len(server.faults)) == ("ended", "hang", 1)
    assert row["ends_at"] - row["effect_at"] == pytest.approx(60, abs=1)


class Lossy(Agent):
    """The agent's first answer to each of these requests is lost, after it was done."""

    def __init__(self, settings: TargetSettings, *, loses: int) -> None:
        super().__init__(settings)
        self.left = {"begin": loses, "end": loses}

    def _lose(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] >= 0:
            raise TargetError("the answer was lost", retry=True)

    def begin_fault(
        self, service: str, fault: str, *, seconds: float, key: str, arguments: Mapping[str, float | str] | None = None
    ) -> str:
        fault_id = super().begin_fault(service, fault, seconds=seconds, key=key, arguments=arguments)
        self._lose("begin")
        return fault_id

    def end_fault(self, fault_id: str) -> None:
        super().end_fault(fault_id)
        self._lose("end")


def test_an_answer_that_was_lost_leaves_nothing_broken(server: AgentServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again with the same key; where no answer ever comes, that is said with the bound."""
    lossy = Lossy(TargetSettings(url=server.url, token="t"), loses=1)
    hang = fault_named("hang")
    with hang.inject(lossy, "web", 60):
        assert [row["state"] for row in server.faults.values()] == ["holding"]
    assert [row["state"] for row in server.faults.values()] == ["ended"]
    monkeypatch.setattr(on_host, "ASK_AGAIN_S", 0.2)
    lossy.left["begin"] = 1000
    words = "web may be broken by hang, and is not after 60 s at the latest: the answer was lost"
    with pytest.raises(ChaosError, match=words), hang.inject(lossy, "web", 60):
        pytest.fail("a fault without an id was held")
    lossy.close()


def test_what_shows_on_the_host_is_proof_where_requests_need_not_fail(server: AgentServer, target: Target) -> None:
    """Memory is taken though requests succeed; a hang with requests that succeed is none."""
    server.effect = "512 MB are taken"
    before = measure_baseline(target, "web")
    memory = faults()["memory"]
    with memory.inject(target, "web", 60):
        assert prove(memory, target, "web", before).detail.startswith("512 MB are taken")
        assert memory.harmed(target, "worker", before, target.probe("web")) == ""
    held = OnHost(name="hang", mechanism="hung", description="d", is_felt=True)
    with held.inject(target, "web", 60):
        assert held.harmed(target, "web", before, target.probe("worker")) == ""
    server.effect = ""
    with memory.inject(target, "web", 60):
        assert memory.harmed(target, "web", before, target.probe("web")) == ""


def test_what_the_service_is_cut_off_from_is_in_the_truth(server: AgentServer, target: Target, tmp_path: Path) -> None:
    """Its host names it: whoever blames that is right, too."""
    server.services["web"]["can"] = ["fault:dependency_down"]
    records, fault = Records(tmp_path), fault_named("dependency_down", {"dependency": "redis"})
    experiment = Experiment(fault=fault, service="web", bound_s=60)
    journal = run(experiment, target, records, lambda _: None)
    (truth,) = records.truths()
    assert (journal.effect.proved, truth.target, truth.dependency) == (True, "web", "redis")


def test_a_name_of_the_shop_works_on_a_host(server: AgentServer, target: Target) -> None:
    """`cpu_hog` asks an agent for `cpu`, with the arguments given; `cpu` leads to it."""
    fault = fault_named("cpu", {"percent": 50.0})
    assert fault.name == "cpu_hog"
    assert services_for(fault, target) == ("web",)
    with fault.inject(target, "web", 30):
        assert (server.faults["f0"]["fault"], server.faults["f0"]["arguments"]) == ("cpu", {"percent": 50.0})


def test_a_bad_deploy_is_a_pair_of_commands_of_the_hosts_owner(server: AgentServer, target: Target) -> None:
    """Its name is asked for, unless another is given."""
    server.services["web"]["can"] = ["fault:command"]
    with fault_named("bad_deploy").inject(target, "web", 30):
        assert (server.faults["f0"]["fault"], server.faults["f0"]["arguments"]) == (
            "command",
            {"command": "bad_deploy"},
        )
    with fault_named("command", {"command": "flag"}).inject(target, "web", 30):
        assert server.faults["f1"]["arguments"] == {"command": "flag"}


def test_a_worker_without_requests_is_judged_by_its_process(server: AgentServer, target: Target) -> None:
    """Nothing can be asked, so that it runs counts: before, while it is stopped, and after."""
    del server.services["web"]
    assert experience(target).failed == 0
    before = measure_baseline(target, "worker")
    assert before.healthy
    hang = fault_named("hang")
    with hang.inject(target, "worker", 30):
        server.services["worker"]["state"] = "stopped"
        assert experience(target).failed == 1
        assert prove(hang, target, "worker", before).detail == (
            "pid 7 is stopped, and a request ends in its process is stopped"
        )


def test_without_the_capability_the_fault_is_done_from_here(target: Target) -> None:
    """The way is chosen by what the service lists."""
    fault = either_way(Hang(needs=frozenset({"resume", "host"})))
    assert isinstance(fault, EitherWay)
    web = target.status("web")
    assert why_not(fault, web) == ""
    bare = type(web)(service="bare", state="running", may_break=True, capabilities=frozenset({"resume"}))
    assert why_not(fault, bare) == "its target does not offer fault:hang or host"
    with pytest.raises(ChaosError, match="bad_deploy takes no arguments for web: its target does not hold the fault"):
        fault_named("bad_deploy", {"command": "flag"}).inject(target, "web", 30).__enter__()
    closed = type(web)(service="closed", state="running", capabilities=web.capabilities)
    assert why_not(fault, closed) == "its owner has not opted in to experiments (may_break)"


def test_longer_than_the_agent_allows_is_refused_before_anything_is_asked(server: AgentServer, target: Target) -> None:
    """Its file's bound counts, and so does Watchkeeper's own."""
    server.services["web"]["bounds"] = {"seconds": 40}
    with pytest.raises(ChaosError, match=r"web may be broken for at most 40 s, and this experiment asks for 60 s"):
        validate(Experiment(fault=fault_named("hang"), service="web", bound_s=60), target)
    server.services["web"]["bounds"] = {"seconds": 9000}
    with pytest.raises(ChaosError, match="at most 300 s"):
        validate(Experiment(fault=fault_named("hang"), service="web", bound_s=301), target)
    assert server.faults == {}


def test_a_fault_that_does_not_begin_is_ended_and_told(server: AgentServer, target: Target) -> None:
    """The agent's reason is the experiment's."""

    def broken(row: dict[str, object]) -> None:
        row |= {"state": "ended", "error": "the process is another user's", "effect": ""}

    with (
        _at_once(server, broken),
        pytest.raises(ChaosError, match="did not begin: the process is another user's"),
        faults()["memory"].inject(target, "web", 30),
    ):
        pytest.fail("it holds nothing")
    assert "DELETE /faults/f0" in server.asked


def test_what_remains_on_the_host_is_an_error(server: AgentServer, target: Target) -> None:
    """An end that left something is never reported as clean."""
    with (
        pytest.raises(ChaosError, match=r"memory in web is not undone on its host: a file /tmp/filler"),
        faults()["memory"].inject(target, "web", 30),
    ):
        server.faults["f0"]["remains"] = ["a file /tmp/filler"]


def test_an_end_is_asked_for_again(server: AgentServer, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that does not answer for a moment is asked again; one that is gone ends the fault by itself."""
    fault = target.begin_fault("web", "hang", seconds=30, key="k")
    real, tries = target.end_fault, []

    def unsteady(fault_id: str) -> None:
        tries.append(fault_id)
        if len(tries) < 3:
            raise TargetError("no answer", retry=True)
        real(fault_id)

    monkeypatch.setattr(target, "end_fault", unsteady)
    assert end_held(target, fault).state == "ended"
    assert len(tries) == 3
    monkeypatch.setattr("chaos.on_host.ASK_AGAIN_S", 0.0)
    tries.clear()
    with pytest.raises(ChaosError, match="could not be ended, and ends by itself: no answer"):
        end_held(target, fault)


def test_the_command_breaks_a_configured_host(
    server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`chaos list` shows which service takes which fault and why the others do not."""
    monkeypatch.setenv("T_TOKEN", "t")
    server.services["worker"]["lacks"] = {"memory": "the host has less than a fifth of its memory free"}
    server.services["closed"] = service_row("closed", may_break=False, can=["fault:memory"])
    path = tmp_path / "w.yaml"
    path.write_text(f'data_dir: data\ntargets:\n  host: {{kind: agent, url: "{server.url}", token_env: T_TOKEN}}\n')
    command = front_door(monkeypatch, capsys)
    status, out, _ = command("chaos", "list", "--config", str(path))
    assert status == 0
    lines = [line.strip() for line in out.splitlines()]
    memory = lines.index("memory              the memory beside it is taken")
    assert lines[memory + 1 : memory + 4] == [
        "services: web",
        "not closed: its owner has not opted in to experiments (may_break)",
        "not worker: its target cannot do it now: the host has less than a fifth of its memory free",
    ]


@pytest.mark.parametrize("arguments", ["delay", [1], {"delay_ms": None}, {"delay_ms": True}])
def test_arguments_are_names_with_numbers_or_texts(arguments: object) -> None:
    """What a file has instead is refused before anything is asked."""
    with pytest.raises(ChaosError, match="of memory must be"):
        fault_named("memory", arguments)  # type: ignore[arg-type]


def test_the_command_passes_arguments_on(
    server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers as numbers; what is no NAME=VALUE is refused; the file that it writes has them, too."""
    command = front_door(monkeypatch, capsys)
    file = tmp_path / "memory.json"
    words = ("chaos", "run", "memory", "web", "--write", str(file))
    assert command(*words, "--set", "mb=64", "--set", "where=here")[0] == 0
    (action,) = json.loads(file.read_text())["method"]
    assert action["provider"]["arguments"]["arguments"] == {"mb": 64.0, "where": "here"}
    status, _, err = command("chaos", "run", "memory", "web", "--set", "mb", "--write", str(tmp_path / "other.json"))
    assert status == 1
    assert "--set takes NAME=VALUE, such as delay_ms=300, not 'mb'" in err
    status, _, err = command("chaos", "run", str(file), "--set", "mb=1")
    assert (status, "a file has `arguments` in its own action" in err) == (1, True)


def _at_once(server: AgentServer, change: Callable[[dict[str, object]], None]) -> _Changed:
    return _Changed(server, change)


class _Changed:
    """Changes each fault of a server as soon as it is there."""

    def __init__(self, server: AgentServer, change: Callable[[dict[str, object]], None]) -> None:
        self._server = server
        self._change = change

    def __enter__(self) -> None:
        change, plain = self._change, dict

        class Rows(plain):  # type: ignore[misc, valid-type]
            def __setitem__(self, key: str, row: dict[str, object]) -> None:
                change(row)
                super().__setitem__(key, row)

        self._server.faults = Rows(self._server.faults)

    def __exit__(self, *_: object) -> None:
        self._server.faults = dict(self._server.faults)
