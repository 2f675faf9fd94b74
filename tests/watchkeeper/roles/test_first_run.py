"""What a first start meets on machines unlike ours: users without a name, full disks, closed terminals, taken ports."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tests.front_door import Run, front_door
from watchkeeper.cli import main as front
from watchkeeper.config import Config, load
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles import up
from watchkeeper.roles.ports import bind, reason
from watchkeeper.roles.up import Supervisor, stopping_on_signals


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command through the front door, in an empty folder."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return front_door(monkeypatch, capsys)


def nobody(number: int) -> None:
    raise KeyError(f"getpwuid(): uid not found: {number}")


def test_a_user_without_a_name_can_give_commands(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with any user id: the id stands for the name."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert run("init", "--yes")[0] == 0
    assert load(tmp_path / "watchkeeper.yaml").oncall.people[0].name == f"Uid {os.getuid()}"


def test_a_folder_that_was_removed_is_one_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every relative path would lead nowhere."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["up"], ["init", "--yes"], ["incident", "list"]):
        assert run(*words) == (1, "", "watchkeeper: the working directory no longer exists; change to another one\n")


def test_bytes_that_are_no_text_are_refused_as_typed(run: Run, tmp_path: Path) -> None:
    """A terminal in another encoding than Python's."""
    status, _, err = run("init", "--yes", "--person", os.fsdecode(b"Zo\xeb"))
    assert (status, "LC_ALL=C.UTF-8" in err, list(tmp_path.iterdir())) == (1, True, [])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO), "/mnt/x"), "Input/output error: /mnt/x"),
        (ZeroDivisionError("one\ntwo"), "ZeroDivisionError: one two"),
    ],
)
def test_an_error_that_nobody_foresaw_is_a_line_and_a_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    """No traceback on the terminal; the file has it, for a report."""

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(front, "_command", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, _, err = run("parts")
    assert (status, err.splitlines()[0]) == (1, f"watchkeeper: `watchkeeper parts` failed: {words}")
    (kept,) = tmp_path.iterdir()
    assert str(kept) in err
    assert "Traceback" not in err
    assert "Traceback" in kept.read_text()
    with pytest.raises(type(error)):  # a role's log is where its traceback is looked for
        run("web")


def test_a_full_disk_is_named_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log could not hold the reason either."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1 << 30, 1 << 30, 300 << 10))
    supervisor = Supervisor(Config(data_dir=tmp_path), None, notify=lambda _: None)
    with pytest.raises(WatchkeeperError, match=r"the disk is full \(300 KiB free"):
        supervisor.start()
    supervisor.stop()
    assert supervisor.pids() == {}


def test_a_closed_terminal_stops_in_order_and_nohup_does_not() -> None:
    """SIGHUP is a question to stop, as SIGTERM is; where it is ignored, it stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    try:
        with stopping_on_signals() as asked:
            assert not asked()
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stopping_on_signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "why", "advice"),
    [
        (errno.EADDRINUSE, "it is held by", "set web.port"),
        (errno.EACCES, "this user may not listen there", "Set web.port to a port above 1023"),
        (errno.EADDRNOTAVAIL, "192.0.2.7 is no address of this machine", "Set web.host"),
        (errno.EAFNOSUPPORT, "no IPv6", "Set web.host"),
    ],
)
def test_a_port_is_refused_with_its_own_reason(number: int, why: str, advice: str) -> None:
    """A port that nobody holds is not called held."""
    found = reason("192.0.2.7", 80, "web.port", OSError(number, os.strerror(number)))
    assert why in found[0]
    assert advice in found[1]


def test_an_address_of_another_machine_is_no_taken_port() -> None:
    """As the kernel says it: 192.0.2.0/24 is nobody's (RFC 5737)."""
    with pytest.raises(WatchkeeperError, match=r"web\.port: 192\.0\.2\.7:0 .*no address of this machine.*web\.host"):
        bind("192.0.2.7", 0, "web.port")


def test_an_end_by_the_kernel_says_what_it_usually_means() -> None:
    """Memory, instructions, file sizes; other ends need no guess."""
    assert "memory" in up._hint(-signal.SIGKILL)
    assert "processor" in up._hint(-signal.SIGILL)
    assert up._hint(-signal.SIGTERM) == up._hint(1) == ""


def test_the_first_line_comes_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    """Whoever starts it on a slow machine sees at once that it runs, and with which file."""
    (tmp_path / "w.yaml").write_text("web: {port: 8051}\n")
    command = [sys.executable, "-X", "importtime", "-u", "-m", "watchkeeper.cli.main", "up", "--config", "w.yaml"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    imported: set[str] = set()
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as child:
        for line in child.stdout:
            if "Checking the configuration (w.yaml)" in line:
                break
            imported.add(line.rpartition("|")[2].strip())
        else:
            pytest.fail("it said nothing")
        child.kill()
        child.stdout.read()
    assert "typer" in imported
    assert not imported & {"numpy", "pandas", "pyarrow", "chdb", "sqlalchemy", "clickhouse_connect", "fastapi"}
