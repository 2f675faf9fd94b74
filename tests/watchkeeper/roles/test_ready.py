"""Ready files, claims and signs of life: what is not what it should be is no role that answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import SUFFIX, Problems
from watchkeeper.process_identity import began
from watchkeeper.roles import heartbeat as heart
from watchkeeper.roles import ready
from watchkeeper.roles.doctor import roles as roles_check
from watchkeeper.roles.doctor import set_aside
from watchkeeper.roles.heartbeat import Heart
from watchkeeper.roles.lifecycle import Life
from watchkeeper.roles.readiness import missing, noted
from watchkeeper.roles.role_lock import claimed
from watchkeeper.roles.startup import STILL_S, Mark, Movement
from watchkeeper.roles.up import _Child


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path / "data")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another program, alive."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "3",
        '"watch"',
        "{",
        "{}",
        '{"pid": "x", "began": 1, "ports": {}}',
        '{"pid": {}, "began": 1, "ports": {}}',
        '{"pid": 1e999, "began": 1, "ports": {}}',
        '{"pid": -1, "began": 1, "ports": {}}',
        '{"pid": 99999999999999999999, "began": 1, "ports": {}}',
        '{"pid": 1, "began": null, "ports": []}',
        '{"pid": 1, "began": 1, "ports": {"http": [1]}}',
        '{"pid": 1, "ports": {"http": 1}}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_what_is_no_ready_file_is_no_role(config: Config, content: str) -> None:
    """Nobody who reads it dies of it."""
    ready.announce(config, "watch", {"health": 1})
    ready.path_of(config, "watch").write_bytes(content.encode("utf-8", "surrogatepass"))
    heart.path_of(config, "watch").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert ready.read(config, "watch") is None
    assert heart.read(config, "watch") is None
    assert roles_check(config)[0].status == "warning"
    ready.withdraw(config, "watch")


def test_a_folder_is_no_ready_file(config: Config) -> None:
    """Reading says not ready, writing says what is in the way."""
    ready.path_of(config, "watch").mkdir(parents=True)
    assert ready.read(config, "watch") is None
    with pytest.raises(WatchkeeperError, match=r"watch\.json cannot be used"):
        ready.announce(config, "watch", {})


def test_a_number_that_is_another_program_by_now_is_no_role(config: Config, sleeper: subprocess.Popen[bytes]) -> None:
    """Process numbers are used again; when a process began tells whose it is."""
    ready.announce(config, "watch", {"health": 1})
    path = ready.path_of(config, "watch")
    facts = json.loads(path.read_text())
    assert ready.read(config, "watch") is not None
    path.write_text(json.dumps(facts | {"pid": sleeper.pid}))
    assert ready.read(config, "watch") is None
    path.write_text(json.dumps(facts | {"began": facts["began"] - 1}))
    assert ready.read(config, "watch") is None


def test_a_process_that_is_dead_and_not_yet_buried_is_no_role(config: Config) -> None:
    """A zombie holds its number and answers nothing."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert began(process.pid) is None
    process.wait()


def test_the_second_of_a_role_is_told_who_is_first(config: Config) -> None:
    """One sentence that names the process; and a kill of the first gives the claim back."""
    code = (
        "import sys, time; from pathlib import Path; from watchkeeper.config import Config;"
        "from watchkeeper.roles.role_lock import claimed\n"
        "with claimed(Config(data_dir=Path(sys.argv[1])), 'watch'): print('mine', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(config.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"mine\n"
        with pytest.raises(WatchkeeperError, match=rf"watch is already running on .*\(pid {first.pid}\)"):
            claimed(config, "watch").__enter__()
        first.send_signal(signal.SIGKILL)
        first.wait()
    with claimed(config, "watch"), claimed(config, "web"):
        pass


def test_a_data_directory_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """Whoever starts a role there reads what is in the way."""
    (tmp_path / "data").write_text("x")
    with pytest.raises(WatchkeeperError, match="set data_dir"):
        claimed(Config(data_dir=tmp_path / "data"), "watch").__enter__()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_does_not_turn_is_named_by_everybody(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor and the other roles' readiness say which role hangs, in which loop; the receivers go on receiving."""
    watch = Heart(heart.path_of(config, "watch"))
    watch.expect("tick", 30)
    watch.expect("page", 3000)
    lives = {role: Life(config=config, role=role, problems=Problems(None), heart=watch) for role in ("web", "ingest")}
    assert [missing(life, None) or noted(life) for life in lives.values()] == [None, None]
    later = heart.time.monotonic() + 45
    monkeypatch.setattr(heart.time, "monotonic", lambda: later)
    (result,) = [one for one in roles_check(config) if one.status == "problem"]
    assert "watch" in result.seen
    assert "`tick`" in result.seen
    assert "watch" in str(missing(lives["web"], None))
    assert missing(lives["ingest"], None) is None
    assert "watch" in str(noted(lives["ingest"]))


def test_what_was_set_aside_stands_in_readiness_and_doctor(config: Config) -> None:
    """Loop, item, reason, how often, since when; and readiness stays what it is."""
    problems = Problems(config.data_dir / "run" / f"watch{SUFFIX}")
    problems.report("timers", "inc-1:page:3", ValueError("no such zone"))
    life = Life(config=config, role="watch", problems=problems, heart=Heart(None))
    assert missing(life, None) is None
    assert "timers set aside inc-1:page:3: ValueError: no such zone" in str(noted(life))
    (result,) = set_aside(config)
    assert result.status == "warning"
    for part in ("watch: timers", "inc-1:page:3", "no such zone", "once, ", "UTC"):
        assert part in f"{result.check} {result.seen}"
    problems.solved("timers")
    assert [one.status for one in set_aside(config)] == ["ok"]


def child(clock: Clock, process: subprocess.Popen[bytes], mark: list[Mark]) -> _Child:
    movement = Movement(look_at=lambda: mark[0], clock=clock)
    return _Child(name="watch", process=process, started=0.0, movement=movement)


def test_time_in_which_the_supervisor_did_not_run_counts_for_nobody(
    config: Config, sleeper: subprocess.Popen[bytes]
) -> None:
    """After a laptop's sleep, or a terminal that was stopped, nobody is ended for silence that nobody heard."""
    clock = Clock()
    role = child(clock, sleeper, [Mark()])
    pulse = heart.Pulse(pid=sleeper.pid, loops={"main": heart.Loop(turned_at=1.0, within_s=30.0)})
    assert role.hangs(pulse, 1.0) == ""
    assert role.hangs(pulse, 2.0) == ""  # hours later by the clock: the supervisor counts what it saw
    for _ in range(30):
        last = role.hangs(pulse, 1.0)
    assert "`main` has not turned" in last


def test_a_loop_that_turns_slowly_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    """On a busy machine a loop may take nearly its bound, each time."""
    role = child(Clock(), sleeper, [Mark()])
    for turn in range(10):
        for _ in range(29):
            turned = {"main": heart.Loop(turned_at=float(turn), within_s=30.0)}
            assert role.hangs(heart.Pulse(pid=sleeper.pid, loops=turned), 1.0) == ""


def test_a_start_is_waited_for_as_long_as_something_moves(sleeper: subprocess.Popen[bytes]) -> None:
    """Computing, reading, logging and a new phase are movement; nothing at all for two minutes is not."""
    clock, mark = Clock(), [Mark()]
    role = child(clock, sleeper, mark)

    def look(seconds: int) -> str:
        why = ""
        for _ in range(seconds):
            clock.now += 1.0
            why = why or role.hangs(None, 1.0)
        return why

    for moved in (Mark(cpu_s=0.2), Mark(cpu_s=0.2, read=1 << 21), Mark(log=1), Mark(phase="opening")):
        mark[0] = moved
        assert look(int(STILL_S)) == ""
    assert "nothing moved" in look(int(STILL_S))


def test_a_full_disk_hangs_nobody(config: Config) -> None:
    """Signs of life that cannot be written are nobody's silence: the beat itself goes on."""
    signs = Heart(heart.path_of(config, "watch"))
    os.close(signs._file)
    signs._file = os.open("/dev/full", os.O_RDWR)
    signs.expect("main", 30)
    before = signs._loops["main"].turned_at
    signs.beat("main")
    assert signs._loops["main"].turned_at > before
    os.close(signs._file)
