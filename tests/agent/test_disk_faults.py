"""A disk that is read-only, and one that is slow: in the service's own mount namespace, and in its control group."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.faults.disk_read_only import DiskReadOnly
from agent.faults.disk_slow import DiskSlow
from agent.holders import marked
from agent.holders.cgroup import folder_of, hierarchy
from agent.io_limits import disk_of, limit, limits
from agent.mounts import inside, mounts, namespace, why_not
from tests.agent.trials import JsonRecord, effect_of, group_for, instance_of, plan, remove_group, trial
from tests.bare_host import BareService, keepers_of
from tests.running_agent import RunningAgent, allowed, kill_all
from tests.waiting import until
from watchkeeper.errors import AgentError

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a blank in its name, which mounts are listed with in another form."""
    folder = tmp_path / "the data"
    folder.mkdir()
    (folder / "kept").write_text("as it was")
    return folder


@pytest.fixture
def apart() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a mount namespace of its own."""
    with subprocess.Popen(["unshare", "--mount", "sleep", "600"]) as process:
        try:
            until(lambda: namespace(process.pid) != namespace(os.getpid()), what="the mount namespace")
            yield process
        finally:
            process.kill()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def write_error(folder: Path, pid: int = 0) -> int:
    """The number of the error that a write ends in, as a process sees it; 0: it ends well."""

    def write() -> str:
        try:
            (folder / "new").write_text("x")
            (folder / "new").unlink()
        except OSError as error:
            return str(error.errno)
        return "0"

    return int(inside(pid or os.getpid(), write))


def points(pid: int = 0) -> list[str]:
    return [each.point for each in mounts(pid or os.getpid())]


def test_it_is_read_only_in_the_namespace_of_the_service_alone(apart: subprocess.Popen[bytes], folder: Path) -> None:
    fault, settings = DiskReadOnly(), {"read_only_folder": str(folder)}
    before = points(apart.pid)
    with trial(fault, instance_of("orders", apart.pid, settings=settings)) as record:
        words = effect_of(fault, record)
        assert words == f"a write into {folder} is refused: Read-only file system"
        assert (write_error(folder, apart.pid), write_error(folder)) == (errno.EROFS, 0)
        assert (folder / "kept").read_text() == "as it was"
    assert points(apart.pid) == before
    assert write_error(folder, apart.pid) == 0
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_service_without_a_namespace_shares_it_with_the_host(sleeper: subprocess.Popen[bytes], folder: Path) -> None:
    """What is open already can still be written."""
    fault, settings = DiskReadOnly(), {"read_only_folder": str(folder)}
    before = points()
    with (
        (folder / "log").open("w") as log,
        trial(fault, instance_of("orders", sleeper.pid, settings=settings)) as record,
    ):
        assert effect_of(fault, record)
        assert write_error(folder) == errno.EROFS
        log.write("goes on")
        log.flush()
    assert points() == before
    assert (folder / "log").read_text() == "goes on"


def test_the_namespace_may_be_gone_before_the_end(apart: subprocess.Popen[bytes], folder: Path) -> None:
    fault, settings = DiskReadOnly(), {"read_only_folder": str(folder)}
    with trial(fault, instance_of("orders", apart.pid, settings=settings)) as record:
        assert effect_of(fault, record)
        apart.kill()
        apart.wait()
        assert fault.effect(record) == ""


def test_what_somebody_mounts_there_meanwhile_stays(apart: subprocess.Popen[bytes], folder: Path) -> None:
    """It is on top of ours, so ours can't be taken away before: that is said, and tried again."""
    fault, settings = DiskReadOnly(), {"read_only_folder": str(folder)}
    record = plan(fault, instance_of("orders", apart.pid, settings=settings))
    fault.begin(record)
    nsenter = ["nsenter", f"--mount=/proc/{apart.pid}/ns/mnt", "--"]
    subprocess.run([*nsenter, "mount", "-t", "tmpfs", "theirs", folder], check=True)
    with pytest.raises(AgentError, match="somebody has mounted something else on"):
        fault.end(record)
    assert fault.remains(record)
    subprocess.run([*nsenter, "umount", folder], check=True)
    fault.end(record)
    assert fault.remains(record) == ()


def test_why_a_folder_cannot_be_made_read_only(apart: subprocess.Popen[bytes], folder: Path, tmp_path: Path) -> None:
    def lacks(name: object) -> str:
        settings = {"read_only_folder": str(name)} if name else {}
        return DiskReadOnly().lacks(instance_of("orders", apart.pid, settings=settings))

    link = tmp_path / "link"
    link.symlink_to("/")
    assert lacks(folder) == ""
    assert "set `read_only_folder`" in lacks("")
    assert lacks(tmp_path / "none").endswith("No such file or directory")
    assert lacks(folder / "kept").endswith("Not a directory")
    assert "must not be the root" in lacks(link)
    inner = folder / "inner"
    inner.mkdir()
    nsenter = ["nsenter", f"--mount=/proc/{apart.pid}/ns/mnt", "--"]
    subprocess.run([*nsenter, "mount", "-t", "tmpfs", "inner", inner], check=True)
    assert lacks(folder) == f"another file system is mounted in {folder}, at {inner}"
    subprocess.run([*nsenter, "mount", "-o", "remount,ro", inner], check=True)
    assert lacks(inner) == f"{inner} is read-only already"


def test_an_agent_does_not_lock_itself_out(tmp_path: Path) -> None:
    """Its own records are in the folder: the fault ends at once, and says so."""
    service = BareService()
    agent = RunningAgent(
        tmp_path, allowed(service, faults=["disk_read_only"], settings={"read_only_folder": str(tmp_path)})
    )
    before = points()
    try:
        service.start()
        agent.start()
        state = agent.ended(agent.begin("disk_read_only", 600.0))
        assert "Read-only file system" in state["error"]
        assert points() == before
        assert write_error(tmp_path) == 0
    finally:
        agent.stop()
        service.end()


@pytest.mark.parametrize("fault", ["disk_read_only", "disk_slow"])
def test_nothing_stays_when_agent_keeper_and_work_are_killed(fault: str, folder: Path, tmp_path: Path) -> None:
    """At one blow: the next agent ends it, or the process that stands by."""
    service = BareService()
    settings = {"read_only_folder": str(folder), "slow_folder": str(folder)}
    agent = RunningAgent(tmp_path, allowed(service, faults=["disk_read_only", "disk_slow"], settings=settings))
    try:
        service.start()
        if fault == "disk_slow" and hierarchy("blkio") is None:
            pytest.skip("there are no control groups of version 1 here")
        before, group = points(), folder_of(service.instance().pid, "blkio")
        agent.start()
        fault_id = agent.begin(fault, 600.0)
        agent.with_effect(fault_id)
        noted = [(agent.root / "faults" / fault_id / name).read_text().split() for name in ("keeper", "work")]
        assert agent.process is not None
        kill_all(agent.process.pid, *(int(words[0]) for words in noted))
        agent.stop()
        assert points() != before or folder_of(service.instance().pid, "blkio") != group
        agent.start()
        agent.ended(fault_id)
        assert points() == before
        assert write_error(folder) == 0
        assert folder_of(service.instance().pid, "blkio") == group
    finally:
        agent.stop()
        until(lambda: not keepers_of(agent.root), what="the end of the keepers")
        service.end()


def on_a_disk(folder: Path) -> str:
    disk = disk_of(str(folder))
    if not disk:
        pytest.skip("the folder of tests is on no disk")
    return disk


def test_a_group_of_its_own_is_limited(sleeper: subprocess.Popen[bytes], folder: Path) -> None:
    """And has the limit that it had before, afterwards."""
    disk, group = on_a_disk(folder), group_for("blkio", sleeper)
    try:
        limit(str(group), disk, {"write": "900000000"})
        before = limits(str(group), disk)
        fault = DiskSlow()
        with trial(fault, instance_of("orders", sleeper.pid, settings={"slow_folder": str(folder)})) as record:
            assert limits(str(group), disk) == {"read": "256000", "write": "256000"}
            assert "in its control group; it took" in effect_of(fault, record)
        assert limits(str(group), disk) == before == {"read": "max", "write": "900000000"}
        assert list(folder.iterdir()) == [folder / "kept"]
    finally:
        sleeper.kill()
        sleeper.wait()
        remove_group(group)


def test_what_somebody_else_limits_meanwhile_stays(sleeper: subprocess.Popen[bytes], folder: Path) -> None:
    disk, group = on_a_disk(folder), group_for("blkio", sleeper)
    try:
        with trial(DiskSlow(), instance_of("orders", sleeper.pid, settings={"slow_folder": str(folder)})):
            limit(str(group), disk, {"write": "700000000"})
        assert limits(str(group), disk) == {"read": "max", "write": "700000000"}
    finally:
        sleeper.kill()
        sleeper.wait()
        remove_group(group)


def test_a_group_is_made_for_a_service_that_has_none(folder: Path) -> None:
    """With all its processes, and those that it starts meanwhile; the others on the host are as fast as before."""
    on_a_disk(folder)
    if hierarchy("blkio") is None:
        pytest.skip("there are no control groups of version 1 here")
    script = "sleep 600 & while true; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True) as process:
        try:
            home = folder_of(process.pid, "blkio")
            fault = DiskSlow()
            with trial(fault, instance_of("orders", process.pid, settings={"slow_folder": str(folder)})) as record:
                assert effect_of(fault, record)
                group = Path(record["group"])
                assert folder_of(process.pid, "blkio") == group
                assert folder_of("self", "blkio") != group
                until(lambda: len((group / "cgroup.procs").read_text().split()) >= 3, what="those that it started")
            assert folder_of(process.pid, "blkio") == home
            assert not group.exists()
        finally:
            os.killpg(process.pid, 9)


def test_where_nothing_can_be_limited_others_write(sleeper: subprocess.Popen[bytes], folder: Path) -> None:
    """No faster than the file allows, into files without a name, until the end."""
    on_a_disk(folder)
    fault = DiskSlow()
    settings = {"slow_folder": str(folder), "slow_most_mb": "600"}
    record = plan(fault, instance_of("orders", sleeper.pid, settings=settings), seconds=60.0)
    record = JsonRecord({**record_facts(record), "group": "", "home": ""})
    fault.begin(record)
    try:
        writers = marked.marked(record["mark"])
        assert len(writers) == 8
        began = time.monotonic()
        until(lambda: sum(map(written, writers)) > 20_000_000, what="writes")
        assert sum(map(written, writers)) < 10_000_000 * (time.monotonic() - began + 5) + 8 * (1 << 20)
        assert list(folder.iterdir()) == [folder / "kept"]
    finally:
        fault.end(record)
    assert fault.remains(record) == ()


def record_facts(record: JsonRecord) -> dict[str, object]:
    return dict(json.loads(record.text))


def written(pid: int) -> int:
    rows = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(rows["wchar"])


def test_why_a_disk_cannot_be_slow(sleeper: subprocess.Popen[bytes]) -> None:
    def lacks(folder: str) -> str:
        return DiskSlow().lacks(instance_of("orders", sleeper.pid, settings={"slow_folder": folder} if folder else {}))

    assert "set `slow_folder`" in lacks("")
    assert lacks("/nowhere").endswith("No such file or directory")
    assert lacks("/proc") == "/proc is on no disk of this host"


def test_limits_of_version_2_are_read_and_written(tmp_path: Path) -> None:
    """In the form that the kernel's documentation gives (cgroup-v2.rst, io.max); such a group can't be had here."""
    group = tmp_path / "group"
    group.mkdir()
    rows = ("8:16 rbps=2097152 wbps=max riops=max wiops=120", "8:0 rbps=max wbps=1 riops=max wiops=max")
    (group / "io.max").write_text("\n".join(rows))
    assert limits(str(group), "8:16") == {"read": "2097152", "write": "max"}
    assert limits(str(group), "8:0") == {"read": "max", "write": "1"}
    assert limits(str(group), "9:0") == {"read": "max", "write": "max"}
    limit(str(group), "8:16", {"read": "max", "write": "256000"})
    assert (group / "io.max").read_text() == "8:16 rbps=max wbps=256000"
