"""The agent's own verbs through its API, against real processes and the real proxy; and the steps that use them."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.finders.process import Process
from agent.processes import born, send
from agent.proxy.control import ask
from agent.proxy.running import end, ports
from runbooks.bound import BoundStep, bind
from runbooks.library import Library
from runbooks.policy import Policy
from runbooks.program import Program, StepSpec, program_text
from runbooks.registry import steps
from runbooks.run_queue import RunQueue
from runbooks.run_rows import read_run
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from runbooks.step import Call, Done, Surroundings
from runbooks.targets.agent import Agent
from tests.agent.proxied import http_service
from tests.running_agent import TOKEN, RunningAgent
from tests.waiting import until
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import ConfigError
from watchkeeper.ports import free_port
from watchkeeper.state.database import Database
from watchkeeper.state.runs import add_run
from watchkeeper.target import TargetSettings
from watchkeeper.vocabulary import Proposal

# Starts and ends processes with a mark until there are so many.
SCALER = """
import os, signal, subprocess, sys, time
wanted, mark = int(sys.argv[1]), sys.argv[2]
def running():
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            line = open(f"/proc/{name}/cmdline", "rb").read()
        except OSError:
            continue
        if line.endswith(b"\\0" + mark.encode() + b"-worker\\0"):
            found.append(int(name))
    return sorted(found)
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(wanted - len(running())):
    command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", mark + "-worker"]
    subprocess.Popen(command, start_new_session=True, **quiet)
for pid in running()[wanted:]:
    os.kill(pid, signal.SIGKILL)
"""


class Host:
    """A service behind a proxy, with a flag, folders that may be cleared, and instances that may be more."""

    def __init__(self, folder: Path, port: int, trash: Path | None) -> None:
        self.folder, self.listen, self.mark = folder, free_port(), f"scaled-{uuid.uuid4().hex}"
        self.logs, self.flag = folder / "logs" / "orders", folder / "flag"
        self.logs.mkdir(parents=True)
        for day in range(3):
            path = self.logs / f"app.{day}.log"
            path.write_text(f"day {day}\n" * 1000)
        (folder / "scaler.py").write_text(SCALER)
        scale = [sys.executable, "-I", "-S", str(folder / "scaler.py"), "{count}", self.mark]
        self.pool = {"pattern": f"{self.mark}-worker$", "scale": scale}
        touch = {
            "do": ["touch", str(self.flag)],
            "undo": ["rm", "-f", str(self.flag)],
            "check": ["test", "-e", str(self.flag)],
        }
        clear = {"folders": [str(self.logs)], "least_age_hours": 0} | ({"trash": str(trash)} if trash else {})
        services: dict[str, Any] = {
            "orders": {
                "find": {"process": {"port": port}},
                "proxy": {"listen": self.listen, "to": port},
                "drain": {"seconds": 10},
                "flags": {"new-checkout": touch},
                "clear_disk": clear,
            },
            "pool": {"find": {"process": self.pool}, "scale": {"least": 1, "most": 4}},
            "bare": {"find": {"process": {"port": port}}},
            "balanced": {"find": {"process": {"port": port}}, "drain": touch},
        }
        self.agent = RunningAgent(folder, services)

    def act(self, service: str, verb: str, body: Any = None, *, key: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = self.agent.good("POST", f"/services/{service}/{verb}", body or {}, key=key)
        return answer

    def row(self, service: str) -> dict[str, Any]:
        (row,) = self.agent.good("GET", f"/services?service={service}")
        return dict(row)


@pytest.fixture
def trash() -> Iterator[Path | None]:
    """On another file system, where there is one."""
    memory = Path("/dev/shm")
    folder = memory / f"watchkeeper-test-{uuid.uuid4().hex}"
    if not memory.is_dir():
        yield None
        return
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def host(tmp_path: Path, trash: Path | None) -> Iterator[Host]:
    if trash and trash.stat().st_dev == tmp_path.stat().st_dev:
        trash = None
    with http_service() as port:
        host = Host(tmp_path, port, trash)
        try:
            host.agent.start()
            until(lambda: host.listen in ports(), what="the proxy")
            yield host
        finally:
            host.agent.stop()
            end([port for port in ports() if port == host.listen])
            for found in Process({"pattern": host.pool["pattern"]}).find():
                send(found.pids[0], born(found.pids[0]), signal.SIGKILL)


def is_let_through(host: Host) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", host.listen), timeout=5):
        return True
    return False


def test_the_file_decides_which_there_are(host: Host) -> None:
    """Each by a section of its own; everything else is refused with the key that would allow it."""
    assert set(host.row("orders")["can"]) >= {"clear-disk", "drain", "undrain", "flag"}
    assert set(host.row("bare")["can"]) == {"lease"}
    for verb, key in (("scale", "scale"), ("drain", "drain"), ("flag", "flags"), ("clear-disk", "clear_disk")):
        answer = host.agent.ask("POST", f"/services/bare/{verb}", {})
        assert (answer.status_code, f"services.bare.{key} of the agent's file" in answer.text) == (403, True)


REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "too many": ("pool", "scale", {"replicas": 5}, 403, "services.pool.scale of the agent's file allows 1 to 4"),
    "too few": ("pool", "scale", {"replicas": 0}, 403, "services.pool.scale"),
    "half of one": ("pool", "scale", {"replicas": 1.5}, 422, "a whole number"),
    "yes instances": ("pool", "scale", {"replicas": True}, 422, "a whole number"),
    "an unknown flag": ("orders", "flag", {"flag": "old", "value": True}, 403, "services.orders.flags"),
    "a value that is none": ("orders", "flag", {"flag": "new-checkout", "value": "yes"}, 422, "true or false"),
    "an argument of drain": ("orders", "drain", {"now": True}, 422, "drain takes no arguments"),
    "a folder that is not listed": ("orders", "clear-disk", {"pattern": "/etc/pass*"}, 403, "clear_disk.folders"),
}


def test_what_goes_beyond_the_file_is_refused_and_audited(host: Host) -> None:
    for what, (service, verb, body, status, words) in REFUSED.items():
        answer = host.agent.ask("POST", f"/services/{service}/{verb}", body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), (what, answer.text)
        assert host.agent.audited()[0]["error"] == answer.json()["error"]
    assert Process({"pattern": host.pool["pattern"]}).find() == ()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"verbs": ["drain"]}, "services.a.verbs.0: `drain` is allowed by `drain`; remove it here, and set that"),
        ({"verbs": ["command"]}, "services.a.verbs.0: `command` is allowed by `commands`"),
        ({"scale": {"most": 2}}, "services.a.scale: process can't scale a, as it is found here"),
        ({"scale": {"most": 2, "least": 3}}, "`least` must not be more than `most`"),
        ({"drain": {}}, "services.a.drain: needs `do` and `undo`, or a `proxy` that drains it"),
        ({"drain": {"do": ["true"]}}, "needs both `do` and `undo`"),
        ({"flags": {"f": {"do": ["true"]}}}, "services.a.flags.f.undo: is required"),
        ({"clear_disk": {"folders": ["/var"]}}, "/var is too wide"),
        (
            {"clear_disk": {"folders": ["/var/log/a"], "trash": "/var/log/a/t"}},
            "must be outside of what may be cleared",
        ),
        ({"clear_disk": {"folders": ["."]}}, "the agent's own"),
    ],
)
def test_a_mistake_in_a_section_is_one_line(section: dict[str, Any], words: str, tmp_path: Path) -> None:
    from agent.allowed import read_allowed

    wrong = RunningAgent(tmp_path, {"a": {"find": {"process": {"port": 1}}, **section}})
    with pytest.raises(ConfigError) as refused:
        read_allowed(wrong.path)
    assert words in refused.value.message
    assert len(refused.value.message.splitlines()) == 1


def test_it_scales_to_what_was_asked_for_once_a_key(host: Host) -> None:
    """And the answer comes when so many run."""
    answers = [host.act("pool", "scale", {"replicas": number}, key=f"k{number}") for number in (3, 3, 1)]
    assert [answer["instances"] for answer in answers] == [3, 3, 1]
    assert answers[0] == answers[1]
    asked = [row["arguments"] for row in host.agent.audited() if row["what"] == "verb.asked"]
    assert asked == [{"replicas": 1}, {"replicas": 3}, {"replicas": 3}]
    assert host.row("pool")["instances"] == 1
    assert host.act("pool", "scale", {"replicas": 1}, key="other")["did"] == "nothing: 1 run already"


def test_a_scaling_that_does_not_show_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent import bare
    from watchkeeper.errors import AgentError

    monkeypatch.setattr(bare, "SHOWS_WITHIN_S", 0.3)
    finder = Process({"pattern": f"nothing-{uuid.uuid4().hex}", "scale": ["sh", "-c", "exit {count}"]})
    with pytest.raises(AgentError, match="sh failed with status 3; 0 instances run"):
        finder.act("scale", lambda *_: None, {"count": 3}, "")
    finder = Process({"pattern": f"nothing-{uuid.uuid4().hex}", "scale": ["true", "{count}"]})
    with pytest.raises(AgentError, match="was run for 2 instances, and 0 run after"):
        finder.act("scale", lambda *_: None, {"count": 2}, "")


def test_a_flag_is_set_and_unset_and_looked_at(host: Host) -> None:
    on, off = {"flag": "new-checkout", "value": True}, {"flag": "new-checkout", "value": False}
    assert host.act("orders", "flag", on)["did"] == "the flag new-checkout is on"
    assert host.flag.exists()
    assert host.act("orders", "flag", on)["did"] == "nothing: the flag new-checkout is on already"
    assert host.act("orders", "flag", off)["did"] == "the flag new-checkout is off"
    assert not host.flag.exists()


def test_a_drain_by_commands_is_theirs(host: Host) -> None:
    assert host.act("balanced", "drain")["did"] == "balanced gets no new requests"
    assert host.flag.exists()
    assert host.act("balanced", "undrain")["did"] == "balanced gets requests again"
    assert not host.flag.exists()


class Caller(threading.Thread):
    """Asks again and again, on one connection for as long as the service keeps it; `failed` are those in the middle."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.answered, self.failed, self.refused = 0, list[str](), 0
        self._port, self._over = port, threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._over.wait(0.01):
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                self.refused += 1
                continue
            try:
                connection.request("POST", "/", b"hello")
                answer = connection.getresponse()
                assert answer.read() == b"hello"
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()

    def end(self) -> None:
        self._over.set()
        self.join()


def test_a_drained_service_gets_no_new_requests_and_loses_none(host: Host) -> None:
    """Callers that keep their connections are told to make others, which are refused; nobody is cut off."""
    callers = [Caller(host.listen) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        until(lambda: all(caller.answered > 3 for caller in callers), what="answers")
        answer = host.act("orders", "drain", key="d")
        assert answer["did"] == "new connections are refused, and every open one has finished"
        assert not is_let_through(host)
        assert host.row("orders")["drained"] is True
        until(lambda: all(caller.refused for caller in callers), what="refusals")
        assert host.act("orders", "drain", key="d") == answer
        assert host.act("orders", "undrain")["did"] == "callers are let through again"
        so_far = [caller.answered for caller in callers]
        until(lambda: all(caller.answered > was for caller, was in zip(callers, so_far, strict=True)), what="answers")
    finally:
        for caller in callers:
            caller.end()
    assert [caller.failed for caller in callers] == [[], [], []]
    assert host.row("orders")["drained"] is False


def test_a_request_that_is_under_way_finishes(host: Host) -> None:
    """Half of it was sent before the drain; the rest comes after, and so does its answer."""
    with socket.create_connection(("127.0.0.1", host.listen), timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: orders\r\nContent-Length: 5\r\n\r\nhe")
        until(lambda: (ask(host.listen, {"do": "state"}) or {})["connections"] == 1, what="the connection")
        answers: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: answers.append(host.act("orders", "drain")))
        thread.start()
        until(lambda: not is_let_through(host), what="the drain")
        assert answers == []
        connection.sendall(b"llo")
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    thread.join()
    assert answers[0]["connections"] == 0


def test_a_drain_outlives_agent_and_proxy(host: Host) -> None:
    """Whoever is killed: callers are refused until somebody asks for `undrain`."""
    host.act("orders", "drain")
    proxy = (ask(host.listen, {"do": "state"}) or {})["pid"]
    send(proxy, born(proxy), signal.SIGKILL)
    until(lambda: (state := ask(host.listen, {"do": "state"})) and state["pid"] != proxy, what="another proxy")
    assert not is_let_through(host)
    host.agent.kill()
    proxy = (ask(host.listen, {"do": "state"}) or {})["pid"]
    send(proxy, born(proxy), signal.SIGKILL)
    host.agent.start()
    until(lambda: ask(host.listen, {"do": "state"}), what="a proxy")
    assert not is_let_through(host)
    assert host.row("orders")["drained"] is True
    host.act("orders", "undrain")
    assert is_let_through(host)


def test_an_agent_that_is_killed_clears_on_with_the_same_key(host: Host, trash: Path | None) -> None:
    """Every file is in its place or in the trash, and the undo brings all of them back."""
    if "restore-disk" not in host.row("orders")["can"]:
        pytest.skip("there is no second file system here")
    contents = {}
    for number in range(300):
        path = host.logs / f"many.{number}.log"
        path.write_text(f"{number}\n" * 500)
        contents[path.name] = path.read_text()
    body = {"pattern": f"{host.logs}/many.*.log", "older_than_hours": 0, "keep": True, "batch": "b"}

    def asked() -> None:
        with suppress(Exception):
            host.act("orders", "clear-disk", body, key="c")

    thread = threading.Thread(target=asked)
    thread.start()
    until(lambda: len(list(host.logs.glob("many.*"))) < 290, every_s=0.001, what="the first files")
    host.agent.kill()
    thread.join()
    host.agent.start()
    host.act("orders", "clear-disk", body, key="c")
    assert list(host.logs.glob("many.*")) == []
    host.act("orders", "restore-disk", {"batch": "b"})
    assert {path.name: path.read_text() for path in host.logs.glob("many.*")} == contents
    assert trash
    assert list(trash.iterdir()) == []


STEPS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "scale": ("pool", "scale", {"to": 2, "back_to": 1}),
    "drain": ("orders", "drain", {}),
    "toggle-flag": ("orders", "toggle-flag", {"flag": "new-checkout", "value": True, "back_to": False}),
    "clear-disk": ("orders", "clear-disk", {"pattern": "{logs}/app.*.log", "older_than_hours": 0, "keep": True}),
}


@pytest.mark.parametrize("name", STEPS)
def test_its_step_plans_runs_and_undoes_through_the_target(name: str, host: Host) -> None:
    """What it changes shows on the host after `run`, and does not after `undo`; a second time changes nothing."""
    service, kind, inputs = STEPS[name]
    given = {key: value.format(logs=host.logs) if isinstance(value, str) else value for key, value in inputs.items()}
    step = bind(kind, given, steps())
    target = Agent(TargetSettings(url=host.agent.url, token=TOKEN))
    status = target.status(service)
    if missing := step.needs - status.capabilities:
        target.close()
        pytest.skip(f"there is no second file system here, so no {', '.join(missing)}")
    if name == "scale":
        target.act("pool", "scale", key="first", arguments={"replicas": 1})
    before = what_shows(host)
    assert service in step.plan(service, status)
    for _ in range(2):
        assert isinstance(step.run(call(step, target, service, "run-1:2:x")), Done)
    assert what_shows(host) != before
    assert step.can_undo
    for _ in range(2):
        assert step.undo(call(step, target, service, "run-1:2:x:undo"))
    assert what_shows(host) == before
    target.close()


def call(step: BoundStep, target: Agent, service: str, key: str) -> Call[Any]:
    return Call(
        target=target, service=service, given=step.given, key=key, around=Surroundings(), began=datetime.now(UTC)
    )


def what_shows(host: Host) -> tuple[object, ...]:
    """Instances, whether callers are let through, the flag, and the files."""
    files = {path.name: path.read_text() for path in host.logs.iterdir()}
    return (len(Process({"pattern": host.pool["pattern"]}).find()), is_let_through(host), host.flag.exists(), files)


@pytest.mark.parametrize("fails", [False, True])
def test_a_runbook_whose_last_step_fails_leaves_the_host_as_it_was(host: Host, db: Database, fails: bool) -> None:
    """Through the runner that the platform uses: drained, flagged and cleared; and all of it taken back in reverse."""
    if "restore-disk" not in host.row("orders")["can"]:
        pytest.skip("there is no second file system here")
    last = {"flag": "unheard-of", "value": True} if fails else {"flag": "new-checkout", "value": True}
    program = Program(
        steps=(
            StepSpec(kind="drain"),
            StepSpec(kind="toggle-flag", inputs={"flag": "new-checkout", "value": True, "back_to": False}),
            StepSpec(
                kind="clear-disk", inputs={"pattern": f"{host.logs}/app.*.log", "older_than_hours": 0, "keep": True}
            ),
            StepSpec(kind="toggle-flag", inputs=last, id="last"),
        )
    )
    proposal = Proposal(
        runbook="b",
        title="t",
        service="orders",
        steps=(),
        blast_radius="r",
        undo="u",
        actions=program.kinds,
        program=program_text(program),
        arguments={"mechanism": "unknown"},
    )
    book = Runbook(
        id="b", title="t", why="w", mechanisms=("cpu",), after_change=False, program=program, blast_radius="r", undo="u"
    )
    before, clock = what_shows(host), FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))
    with db.write() as connection:
        add_run(connection, "run-1", "", proposal, clock.now())
    target = Agent(TargetSettings(url=host.agent.url, token=TOKEN))
    library, no_incident = Library(books={"b": book}, policy=Policy(services=("*",))), None
    queue: Any = RunQueue(db, clock, timedelta(seconds=10))
    Runner(queue, target, library, no_incident, sleep=lambda _: None, around=Surroundings()).turn()  # type: ignore[arg-type]
    target.close()
    run = read_run(db, "run-1")
    assert run is not None
    _, is_open, flag, files = what_shows(host)
    if fails:
        assert (run.state, what_shows(host)) == ("failed", before)
        assert "services.orders.flags of the agent's file has new-checkout" in run.steps[3].detail
    else:
        assert (run.state, is_open, flag, files) == ("done", False, True, {})
    did = [row["verb"] for row in host.agent.audited() if row["what"] == "verb.answered"]
    there = ["drain", "flag", "clear-disk"]
    assert did[::-1] == ([*there, "restore-disk", "flag", "undrain"] if fails else [*there, "flag"])
