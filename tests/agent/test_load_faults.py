"""Faults that take what a service needs: processor, memory, disk. And the processes that hold them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.faults.cpu import Cpu
from agent.faults.disk_full import DiskFull
from agent.faults.memory import Memory
from agent.holders import marked
from agent.holders.fill_disk import free_bytes
from tests.agent.trials import effect_of, group_for, instance_of, plan, remove_group, trial
from tests.waiting import until
from watchkeeper.errors import AgentError

MB = 1_000_000


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB, on a disk's image."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(200 * MB)
    for command in (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, folder]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_burners_burn_what_was_asked_for(sleeper: subprocess.Popen[bytes]) -> None:
    fault = Cpu()
    with trial(fault, instance_of("desk", sleeper.pid), cores=1.0, percent=50.0) as record:
        assert len(marked.marked(record["mark"])) == 1
        assert effect_of(fault, record).startswith("1 processes burned")


def test_burners_stay_on_the_cores_of_the_service(sleeper: subprocess.Popen[bytes]) -> None:
    core = min(os.sched_getaffinity(sleeper.pid))
    os.sched_setaffinity(sleeper.pid, {core})
    with trial(Cpu(), instance_of("desk", sleeper.pid)) as record:
        (burner,) = marked.marked(record["mark"])
        assert os.sched_getaffinity(burner) == {core}


def test_burners_join_the_control_group_of_the_service(sleeper: subprocess.Popen[bytes]) -> None:
    """Every one of them, so that they take from its quota, not from the host."""
    group = group_for("cpu", sleeper)
    try:
        fault = Cpu()
        with trial(fault, instance_of("desk", sleeper.pid), percent=20.0) as record:
            members = {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
            assert members == {sleeper.pid, *marked.marked(record["mark"])}
            assert "in its control group" in effect_of(fault, record)
        assert (group / "cgroup.procs").read_text().split() == [str(sleeper.pid)]
    finally:
        sleeper.kill()
        sleeper.wait()
        remove_group(group)


def test_memory_is_taken_up_to_the_bound(sleeper: subprocess.Popen[bytes]) -> None:
    fault = Memory()
    with trial(fault, instance_of("desk", sleeper.pid), mb=64.0) as record:
        assert "holds" in effect_of(fault, record)
        (holder,) = marked.marked(record["mark"])
        assert Path(f"/proc/{holder}/oom_score_adj").read_text().strip() == "1000"


def test_memory_leaves_the_group_of_the_service_below_its_limit(sleeper: subprocess.Popen[bytes]) -> None:
    """What is asked for is ten times the limit: the kernel has to end nobody."""
    group = group_for("memory", sleeper)
    try:
        limit = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        (group / limit).write_text(str(100 * MB))
        fault = Memory()
        with trial(fault, instance_of("desk", sleeper.pid), mb=1000.0) as record:
            assert "in its control group" in effect_of(fault, record)
            usage = group / ("memory.current" if limit == "memory.max" else "memory.usage_in_bytes")
            until(lambda: int(usage.read_text()) > 80 * MB, what="a group that is nearly full")
            time.sleep(0.5)
            assert len(marked.marked(record["mark"])) == 1
            assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
        remove_group(group)


def test_a_disk_is_filled_but_for_what_must_stay(small_disk: Path) -> None:
    """To the megabyte that was asked for, and never below what the agent's file says."""
    before = free_bytes(str(small_disk))
    instance = instance_of("desk", settings={"fill_folder": str(small_disk), "fill_leave_mb": "20"})
    fault = DiskFull()
    with trial(fault, instance, leave_mb=0.0) as record:
        assert "MB free" in effect_of(fault, record)
        assert 19 * MB < free_bytes(str(small_disk)) < 22 * MB
        assert [path.name for path in small_disk.iterdir()] == ["lost+found"]
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "written").write_bytes(b"w" * 40 * MB)
        (small_disk / "written").unlink()
    assert free_bytes(str(small_disk)) >= before - MB


def test_a_disk_without_room_is_left_alone(small_disk: Path) -> None:
    instance = instance_of("desk", settings={"fill_folder": str(small_disk), "fill_leave_mb": "5000"})
    record = plan(DiskFull(), instance)
    with pytest.raises(AgentError, match="no space to take: 5000 MB must stay free"):
        DiskFull().begin(record)
    assert DiskFull().remains(record) == ()


STARTER = """
import sys, time
from agent.holders import marked
mark, seconds = sys.stdin.readline().split()
marked.start("burn", mark, seconds=float(seconds), percent=5.0, burners=3, cores=[0], groups=[])
print("started", flush=True)
time.sleep(600)
"""


@contextmanager
def starter(mark: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that started holders for so long, and does nothing more."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{mark} {seconds}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


def test_a_holder_ends_with_whoever_started_it() -> None:
    """Even by kill -9, with all its children."""
    mark = marked.new_mark()
    with starter(mark, 600.0) as process:
        assert len(marked.marked(mark)) == 3
        process.kill()
        until(lambda: not marked.marked(mark), what="the end of the holders")


def test_a_holder_ends_when_its_time_is_over() -> None:
    """Its starter lives on and does nothing."""
    mark = marked.new_mark()
    with starter(mark, 0.5) as process:
        until(lambda: not marked.marked(mark), what="the end of the holders")
        assert process.poll() is None


def test_a_stopped_holder_is_ended_all_the_same() -> None:
    mark = marked.new_mark()
    pid = marked.start("burn", mark, seconds=60.0, percent=5.0, burners=1, cores=[0], groups=[])
    os.kill(pid, signal.SIGSTOP)
    marked.end(mark)
    assert marked.remaining(mark) == ()
