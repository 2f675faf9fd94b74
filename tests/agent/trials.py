"""One fault tried by hand: planned, begun, ended from its record, and looked for afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.fault import HostFault
from agent.holders.cgroup import folder_of
from agent.instance import Instance
from agent.processes import all_seen, born
from tests.waiting import until


class JsonRecord:
    """A record whose facts survive as JSON, as on the disk."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.text = json.dumps(facts)

    def __getitem__(self, key: str) -> Any:
        return json.loads(self.text)[key]

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.text).get(key, default)

    def note(self, **facts: Any) -> None:
        self.text = json.dumps({**json.loads(self.text), **facts})


def instance_of(service: str, pid: int = 0, **facts: Any) -> Instance:
    """What the agent would have found."""
    return Instance(service=service, pids=(pid,) if pid else (), born=born(pid) if pid else "", **facts)


def plan(fault: HostFault, instance: Instance, seconds: float = 60.0, **arguments: float | str) -> JsonRecord:
    """The record of a fault that can be done."""
    assert fault.lacks(instance) == ""
    assert set(arguments) <= set(fault.arguments)
    return JsonRecord(fault.plan(instance, seconds, {**fault.arguments, **arguments}))


@contextmanager
def trial(
    fault: HostFault, instance: Instance, seconds: float = 60.0, **arguments: float | str
) -> Iterator[JsonRecord]:
    """Hold a fault, end it by another object that has the record alone, and see that nothing remains."""
    record = plan(fault, instance, seconds, **arguments)
    try:
        fault.begin(record)
        yield record
    finally:
        left = JsonRecord(json.loads(record.text))
        again = type(fault)()
        again.end(left)
    assert again.remains(left) == ()
    again.end(left)  # nothing is there any more, which is no error
    assert again.remains(left) == ()


def effect_of(fault: HostFault, record: JsonRecord) -> str:
    """What shows that it works, once something does."""
    return until(lambda: fault.effect(record), what=f"the effect of {fault.name}")


@contextmanager
def of_our_faults() -> Iterator[Callable[[], list[str]]]:
    """What lists the processes of faults, and keepers, of the agents that are started inside: others run here, too."""
    name, value = "WATCHKEEPER_TEST_RUN", uuid.uuid4().hex
    os.environ[name] = value

    def listed() -> list[str]:
        found = []
        for process in all_seen():
            folder = Path(f"/proc/{process.pid}")
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes()
                is_of_a_fault = b"watchkeeper-fault-" in line or b"agent.keeper" in line
                if is_of_a_fault and value.encode() in (folder / "environ").read_bytes():
                    found.append(line.replace(b"\0", b" ").decode())
        return found

    try:
        yield listed
    finally:
        os.environ.pop(name)


def group_for(controller: str, process: subprocess.Popen[bytes]) -> Path:
    """A control group of the test's own with a process in it."""
    roots = [Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")]
    for root in roots:
        group = root / f"watchkeeper-test-{process.pid}"
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(process.pid))
        except OSError:
            continue
        if folder_of(process.pid, controller) == group:
            return group
        group.rmdir()
    pytest.skip(f"no control group for {controller} can be made here")


def remove_group(group: Path) -> None:
    """Remove a control group whose processes were killed: the kernel may not be done with them yet."""

    def is_removed() -> bool:
        with suppress(OSError):
            group.rmdir()
        return not group.exists()

    until(is_removed, what=f"the end of {group}")
