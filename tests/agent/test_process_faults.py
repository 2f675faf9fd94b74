"""Faults that work on the service's own process, by its supervisor, its clock or its owner's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.faults.clock_skew import ClockSkew
from agent.faults.command import Command
from agent.faults.crash_loop import CrashLoop
from agent.faults.kill import Kill
from agent.finder import described_finder, finder_of
from agent.holders.put_back import stand_by
from agent.instance import Instance
from agent.processes import born
from tests.agent.trials import effect_of, instance_of, plan, trial
from tests.waiting import until
from watchkeeper.errors import AgentError


class Supervised:
    """A process that is started again whenever it ends, unless the file `down` is there."""

    def __init__(self, down: Path) -> None:
        self.starts = 0
        self.mark = f"supervised-{uuid.uuid4().hex}"
        self.finder = described_finder("process", {"pattern": self.mark})
        commands = {"start": ["rm", "-f", str(down)], "stop": ["touch", str(down)]}
        self.known = described_finder("process", {"pattern": self.mark, "supervised": True, **commands})
        self._down = down
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._over.wait(0.05):
            if self._down.exists():
                continue
            command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", self.mark]
            # The finder leaves out what is in the session of whoever asks.
            self._process = subprocess.Popen(command, start_new_session=True)
            self.starts += 1
            self._process.wait()

    def instance(self, **settings: str) -> Instance:
        (found,) = until(lambda: finder_of(self.finder).find(), what="the process")
        return Instance(
            service="desk", pids=found.pids, born=born(found.pids[0]), finder=self.finder, settings=settings
        )

    def close(self) -> None:
        self._over.set()
        if self._process:
            self._process.kill()
        self._thread.join()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    service = Supervised(tmp_path / "down")
    yield service
    service.close()


def test_it_crashes_again_after_every_start(supervised: Supervised) -> None:
    """As long as the fault holds; then one stays."""
    fault = CrashLoop()
    with trial(fault, supervised.instance(supervised="yes"), every_s=0.2) as record:
        until(lambda: supervised.starts >= 4, what="three crashes")
        assert "was killed" in effect_of(fault, record)
    (found,) = finder_of(supervised.finder).find()
    identity = born(found.pids[0])
    time.sleep(0.8)  # four times as long as an instance lived before
    assert born(found.pids[0]) == identity


def test_without_a_supervisor_it_is_refused(supervised: Supervised) -> None:
    assert "nobody starts it again" in CrashLoop().lacks(supervised.instance())
    assert CrashLoop().lacks(replace(supervised.instance(), finder=supervised.known)) == ""


def test_what_its_supervisor_would_start_again_stays_killed(supervised: Supervised) -> None:
    """The finder knows that there is one, and how to tell it; in the end it starts the process."""
    instance = replace(supervised.instance(), finder=supervised.known)
    with trial(Kill(), instance) as record:
        assert "nothing runs in its place" in effect_of(Kill(), record)
        starts = supervised.starts
        time.sleep(0.3)  # six looks of its supervisor
        assert supervised.starts == starts
    until(lambda: finder_of(supervised.finder).find(), what="the process")


@pytest.fixture
def flag(tmp_path: Path) -> tuple[Path, Instance]:
    """A flag that commands set and unset, each leaving a line that it ran."""
    path, log = tmp_path / "a flag", tmp_path / "log"
    script = tmp_path / "flag"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{log}"\n[ "$1" = on ] && touch "{path}" || rm -f "{path}"\n')
    script.chmod(0o755)
    settings = {
        "command.flag.do": f"{script} on",
        "command.flag.undo": f"'{script}' off",
        "command.flag.check": f"test -e '{path}'",
        "command.broken.do": "false",
        "command.broken.undo": f"{script} off",
        "command.half.do": "true",
    }
    return path, instance_of("desk", settings=settings)


def test_a_command_does_and_another_undoes(flag: tuple[Path, Instance]) -> None:
    path, instance = flag
    fault = Command()
    with trial(fault, instance, command="flag") as record:
        assert path.exists()
        assert "says that it holds" in effect_of(fault, record)
    assert not path.exists()
    assert (path.parent / "log").read_text().split() == ["on", "off"]  # a second end does nothing


@pytest.mark.parametrize(("status", "undone"), [(1, []), (2, ["off"]), (127, ["off"])])
def test_what_was_repaired_meanwhile_is_not_undone(
    status: int, undone: list[str], flag: tuple[Path, Instance], tmp_path: Path
) -> None:
    """Only where the check saw the fault hold, and now says that it does not; any other status says nothing."""
    path, instance = flag
    check = tmp_path / "check"
    check.write_text(f'#!/bin/sh\n[ -e "{path}" ] || exit {status}\n')
    check.chmod(0o755)
    fault = Command()
    settings = {**instance.settings, "command.flag.check": str(check)}
    record = plan(fault, replace(instance, settings=settings), command="flag")
    fault.begin(record)
    assert effect_of(fault, record)
    path.unlink()
    fault.end(record)
    assert (path.parent / "log").read_text().split() == ["on", *undone]
    assert fault.remains(record) == ()


def test_an_undo_is_run_where_the_check_never_saw_the_fault(flag: tuple[Path, Instance]) -> None:
    """A `do` that was killed half way may have done more than the check looks at."""
    path, instance = flag
    fault = Command()
    record = plan(fault, instance, command="flag")
    fault.begin(record)
    path.unlink()
    fault.end(record)
    assert (path.parent / "log").read_text().split() == ["on", "off"]


def test_a_command_that_fails_is_undone_all_the_same(flag: tuple[Path, Instance]) -> None:
    path, instance = flag
    fault = Command()
    record = plan(fault, instance, command="broken")
    with pytest.raises(AgentError, match="false failed with status 1"):
        fault.begin(record)
    assert fault.effect(record) == ""
    fault.end(record)
    assert (path.parent / "log").read_text().split() == ["off"]
    assert fault.remains(record) == ()


@pytest.mark.parametrize("name", ["", "half", "rm -rf /"])
def test_only_complete_pairs_of_the_file_can_be_asked_for(flag: tuple[Path, Instance], name: str) -> None:
    with pytest.raises(AgentError, match="command must be one of flag, broken"):
        Command().plan(flag[1], 60.0, {"command": name})


def test_a_command_is_undone_although_everybody_who_knew_was_killed(flag: tuple[Path, Instance]) -> None:
    path, instance = flag
    fault = Command()
    record = plan(fault, instance, command="flag")
    path.touch()
    facts = {name: record[name] for name in ("mark", "undo", "check")}
    stand_by(record["mark"], "agent.faults.command:Command", -4.5, {**facts, "begun": True})
    until(lambda: fault.remains(record) == (), what="the undo")
    assert not path.exists()


def faketime() -> str:
    """Where libfaketime is. Skips where it is not."""
    named = os.environ.get("WATCHKEEPER_TEST_FAKETIME", "")
    places = [named, *map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))]
    for place in places:
        if place and Path(place).exists():
            return place
    pytest.skip("libfaketime is not installed")


CLOCK = """
import sys, time
while True:
    open(sys.argv[1], "w").write(str(time.time()))
    time.sleep(0.05)
"""


@pytest.mark.parametrize("before", [None, "+0s\n"])
@pytest.mark.parametrize("skew_s", [3600.0, -86400.0])
def test_the_clock_of_one_process_is_wrong(tmp_path: Path, before: str | None, skew_s: float) -> None:
    """Ours is not, and after the end the file is what it was."""
    file, shown = tmp_path / "clock", tmp_path / "shown"
    if before is not None:
        file.write_text(before)
    environment = {
        "LD_PRELOAD": faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "PATH": os.defpath,
    }

    def ahead() -> float:
        try:
            return float(shown.read_text()) - time.time()
        except (OSError, ValueError):
            return 1e9

    process = subprocess.Popen([shutil.which("python3") or sys.executable, "-c", CLOCK, shown], env=environment)
    try:
        until(lambda: abs(ahead()) < 100.0, what="the right clock")
        fault = ClockSkew()
        with trial(fault, instance_of("desk", process.pid), skew_s=skew_s) as record:
            until(lambda: abs(ahead() - skew_s) < 100.0, what="the wrong clock")
            assert "from the host's" in effect_of(fault, record)
        until(lambda: abs(ahead()) < 100.0, what="the right clock again")
        assert (file.read_text() if file.exists() else None) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["shown", *(["clock"] if before is not None else [])]
        )
    finally:
        process.kill()
        process.wait()


def test_a_process_without_the_library_is_refused() -> None:
    assert "not started with libfaketime" in ClockSkew().lacks(instance_of("desk", os.getpid()))
