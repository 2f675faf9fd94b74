"""What every fault of a host must do, as tests: see `watchkeeper.conformance.agent_fault_suite`.

Real keepers hold the faults. The suite breaks a small HTTP service that it starts; a fault that needs another one gets
it by a fixture `scene` of the class that gives a `Scene`. A fault that can't be done on this host is skipped, with
the reason that its `lacks` gives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pytest

from agent.bare import end as end_processes
from agent.fault import HostFault
from agent.finder import (
    SCALE,
    Finder,
    WrongSetting,
    accept_finder,
    described_finder,
    finder_of,
    finder_registry,
    no_note,
)
from agent.instance import Instance
from agent.keepers import Keepers
from agent.processes import born, seen
from agent.records import FaultState, fault_folder
from agent.registry import accept_fault, host_faults
from watchkeeper.errors import AgentError
from watchkeeper.ports import free_port

LONG_S: Final = 600.0  # of a fault that is ended before
PATIENCE_S: Final = 120.0  # for what must come, on a machine that is busy with other things
LOOK_EVERY_S: Final = 0.03
# When it is killed, counted from its start: before, in and after `begin`.
KILLED_AFTER_S: Final = (0.0, 0.05, 0.15, 0.3, 0.6)
# An HTTP service: its port, a mark, and how many workers it forks. Without the modules of an HTTP server, which take
# longer to load than all that a test does.
SERVER: Final = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(int(sys.argv[3])):
    if os.fork() == 0:
        break
while True:
    connection, _ = listener.accept()
    try:
        connection.settimeout(2)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nok\\n")
    except OSError:
        pass
    connection.close()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A service that runs, and how to look at it.

    Attributes:
        instance: finds it; asked anew for each fault.
        is_well: whether it works as it should.
        arguments: what faults are asked for instead of their defaults, by fault.
    """

    instance: Callable[[], Instance]
    is_well: Callable[[], bool]
    arguments: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)


def agent_fault_suite(parts: Mapping[str, HostFault] | None = None) -> type:
    """The tests that every fault of a host must pass, for these faults or all that are installed."""
    checked = host_faults() if parts is None else parts

    class AgentFaultSuite:
        @pytest.fixture
        @classmethod
        def scene(cls) -> Iterator[Scene]:
            """The service that is broken."""
            with_service = bare_scene()
            try:
                yield next(with_service)
            finally:
                next(with_service, None)

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_declares_what_it_does(self, name: str) -> None:
            accept_fault(name, type(checked[name]))

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_breaks_and_leaves_everything_as_it_was(self, name: str, scene: Scene, tmp_path: Path) -> None:
            check_breaks_and_puts_back(checked[name], scene, tmp_path)

        @pytest.mark.parametrize("name", sorted(checked))
        def test_its_end_alone_changes_nothing(self, name: str, scene: Scene, tmp_path: Path) -> None:
            check_end_without_begin(checked[name], scene, tmp_path)

        @pytest.mark.parametrize("after_s", KILLED_AFTER_S)
        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_ends_when_it_is_killed(self, name: str, after_s: float, scene: Scene, tmp_path: Path) -> None:
            check_ends_when_killed(checked[name], scene, tmp_path, after_s)

    return AgentFaultSuite


def agent_finder_suite(parts: Mapping[str, type[Finder]] | None = None) -> type:
    """The tests that every finder must pass. The class needs a fixture `settings` of a service that runs."""
    checked = finder_registry().values() if parts is None else parts

    class AgentFinderSuite:
        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_declares_what_it_does(self, name: str) -> None:
            accept_finder(name, checked[name])

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_refuses_an_unknown_setting(self, name: str, settings: Mapping[str, Any]) -> None:
            with pytest.raises(WrongSetting) as refused:
                _made(checked[name], {**settings, "no-such-setting": 1})
            assert refused.value.key == "no-such-setting"

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_finds_and_does_its_verbs(self, name: str, settings: Mapping[str, Any]) -> None:
            check_finder(_made(checked[name], settings))

    return AgentFinderSuite


def _made(finder: Callable[[Mapping[str, Any]], Finder], settings: Mapping[str, Any]) -> Finder:
    return finder(settings)


def check_finder(finder: Finder) -> None:
    """It finds what runs, and what it did with a verb shows. AssertionError says which is not so."""
    assert finder.lacks() == "", "it can't be used on this host"
    assert _comes(finder.find), "it does not find the service that runs"
    assert all(seen(pid) for found in finder.find() for pid in found.pids), "it finds a process that does not run"
    with pytest.raises(AgentError):
        finder.act("no-such-verb", no_note, {}, uuid.uuid4().hex)

    def mains() -> list[tuple[int, str]]:
        return [(found.pids[0], born(found.pids[0])) for found in finder.find()]

    if "start" in finder.verbs:
        before = mains()
        assert finder.act("start", no_note, {}, uuid.uuid4().hex)
        assert mains() == before, "`start` replaces what runs"
    if "restart" in finder.verbs:
        before = mains()
        assert finder.act("restart", no_note, {}, uuid.uuid4().hex)
        assert _comes(lambda: mains() and not set(mains()) & set(before)), "`restart` leaves the old process"
    if "stop" in finder.verbs:
        assert finder.act("stop", no_note, {}, uuid.uuid4().hex)
        assert _comes(lambda: not finder.find()), "it runs after `stop`"
        if "start" in finder.verbs:
            assert finder.act("start", no_note, {}, uuid.uuid4().hex)
            assert _comes(finder.find), "it does not run after `start`"

    if SCALE in finder.verbs:
        assert finder.act(SCALE, no_note, {"count": 0}, uuid.uuid4().hex)
        assert _comes(lambda: not finder.find()), "it runs after it was scaled to none"
        assert finder.act(SCALE, no_note, {"count": 1}, uuid.uuid4().hex)
        assert _comes(finder.find), "it does not run after it was scaled to one"


def check_breaks_and_puts_back(fault: HostFault, scene: Scene, root: Path) -> None:
    """Its effect shows, it ends when told to, and then nothing remains. AssertionError says which is not so."""
    with _Trial(fault, scene, root) as trial:

        def shows(state: FaultState) -> bool:
            scene.is_well()  # what is lost or late shows in requests alone
            return bool(state.effect) or state.state == "ended"

        state = trial.until(shows, "shows no effect")
        assert state.effect, f"{fault.name} shows no effect: {state.error or state.reason}"
        trial.keepers.end(trial.id, "the test is over")
        trial.check_end()


def check_end_without_begin(fault: HostFault, scene: Scene, root: Path) -> None:
    """An end whose begin was killed before its first line leaves the service as it is; so does a second one."""
    instance = _instance(fault, scene)
    before = [(pid, born(pid)) for pid in instance.pids]
    folder = fault_folder(root, "alone1")
    now = time.time()
    state = FaultState(id="alone1", service=instance.service, fault=fault.name, began_at=now, ends_at=now)
    facts = fault.plan(instance, LONG_S, _arguments(fault, scene))
    assert json.loads(json.dumps(facts)) == facts, f"the facts of {fault.name} are not JSON values"
    folder.create(state, f"{type(fault).__module__}:{type(fault).__qualname__}", LONG_S, facts)
    for _ in range(2):
        record = folder.record()
        fault.end(record)
        assert fault.remains(record) == (), f"{fault.name} leaves something behind although it never began"
    assert [(pid, born(pid)) for pid in scene.instance().pids] == before, (
        f"the end of {fault.name} replaced the service"
    )
    assert _comes(scene.is_well), f"{instance.service} is not well after the end of a {fault.name} that never began"


def check_ends_when_killed(fault: HostFault, scene: Scene, root: Path, after_s: float) -> None:
    """After kill -9 of the process that breaks, some time after its start, it ends all the same."""
    with _Trial(fault, scene, root) as trial:
        folder = fault_folder(root, trial.id)
        assert _comes(lambda: folder.process("work") or not folder.is_begun()), f"{fault.name} is not begun"
        time.sleep(after_s)
        if noted := folder.process("work"):
            with suppress(ProcessLookupError):
                os.kill(noted[0], signal.SIGKILL)
        trial.check_end()


class _Trial:
    """One fault, held by a real keeper."""

    def __init__(self, fault: HostFault, scene: Scene, root: Path) -> None:
        self.id = f"trial{uuid.uuid4().hex[:8]}"
        self.keepers = Keepers(root)
        self._fault = fault
        self._scene = scene
        self._root = root

    def __enter__(self) -> Self:
        instance = _instance(self._fault, self._scene)
        self.keepers.begin(self.id, self._fault, instance, LONG_S, _arguments(self._fault, self._scene))
        return self

    def __exit__(self, *_: object) -> None:
        self.keepers.close()
        _comes(lambda: not fault_folder(self._root, self.id).has_keeper())

    def until(self, holds: Callable[[FaultState], bool], otherwise: str) -> FaultState:
        """The fault's state, as soon as it is so."""
        seen_states: list[FaultState] = []

        def look() -> bool:
            state = self.keepers.state(self.id)
            if state:
                seen_states[:] = [state]
            return state is not None and holds(state)

        assert _comes(look), f"{self._fault.name} {otherwise}: {seen_states}"
        return seen_states[0]

    def check_end(self) -> None:
        state = self.until(lambda state: state.state in ("ended", "stuck"), "does not end")
        assert state.state == "ended", f"{self._fault.name} got stuck: {state.error}"
        assert _comes(lambda: not (self._root / "faults" / self.id).exists()), "its record is still there"
        assert _comes(self._scene.is_well), f"the service is not well after {self._fault.name}"


def _instance(fault: HostFault, scene: Scene) -> Instance:
    assert _comes(scene.is_well), "the service is not well before anything was broken"
    instance = scene.instance()
    if lacking := fault.lacks(instance):
        pytest.skip(f"{fault.name}: {lacking}")
    return instance


def _arguments(fault: HostFault, scene: Scene) -> dict[str, float | str]:
    return {**fault.arguments, **scene.arguments.get(fault.name, {})}


def bare_scene(settings: Mapping[str, str] | None = None) -> Iterator[Scene]:
    """A process that answers HTTP on loopback; it ends with the iterator."""
    port, mark = free_port(), f"bare-{uuid.uuid4().hex}"
    command = [sys.executable, "-I", "-S", "-c", SERVER, str(port), mark, "0"]
    described = described_finder("process", {"pattern": mark, "port": port, "start": command})
    finder = finder_of(described)

    def instance() -> Instance:
        found = finder.find()
        pids = found[0].pids if found else ()
        identity = born(pids[0]) if pids else ""
        return Instance(
            service="orders", pids=pids, born=identity, port=port, finder=described, settings=dict(settings or {})
        )

    def is_well() -> bool:
        pids = instance().pids
        return bool(pids) and (process := seen(pids[0])) is not None and process.state not in "Tt" and _answers(port)

    finder.act("start", lambda *_: None, {}, "")
    try:
        yield Scene(instance=instance, is_well=is_well)
    finally:
        end_processes([(pid, born(pid)) for pid in instance().pids], [], 0.0)


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _comes(holds: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
