"""Starts, finds and ends holders by their mark."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from agent.processes import all_seen
from watchkeeper.errors import AgentError

_PREFIX: Final = "watchkeeper-fault-"
READY_WITHIN_S: Final = 20.0
GONE_WITHIN_S: Final = 5.0


def new_mark() -> str:
    """A word that no other process has in its command line."""
    return f"{_PREFIX}{uuid.uuid4().hex}"


def start(name: str, mark: str, *, detached: bool = False, **asked: Any) -> int:
    """Start `agent.holders.NAME` and wait until it reports that it is ready. Returns its process id.

    `detached`: it survives what started it, and then acts by itself.

    Raises:
        AgentError: it ended, with its reason; or it is not ready in time.
    """
    question = json.dumps({**asked, "parent": 0 if detached else os.getpid()})
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [sys.executable, "-I", "-m", f"agent.holders.{name}", mark]
    pid = os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs_in, 0),
            (os.POSIX_SPAWN_DUP2, theirs_out, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=detached,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    # What it needs goes through a pipe: a command line can be read by everybody.
    with suppress(BrokenPipeError), os.fdopen(ours_out, "wb") as questions:
        questions.write(question.encode())
    with os.fdopen(ours_in, "rb") as answers:
        if not select.select([answers], [], [], READY_WITHIN_S)[0]:
            end(mark)
            raise AgentError(f"the process that holds the fault is not ready after {READY_WITHIN_S:g} s")
        line = answers.readline().decode(errors="replace").strip()
    if line != "ready":
        os.waitpid(pid, 0)
        raise AgentError(line or "the process that holds the fault ended before it was ready")
    return pid


def marked(mark: str) -> tuple[int, ...]:
    """The processes with this mark."""
    own, word = os.getpid(), b"\0" + mark.encode() + b"\0"
    pids = (process.pid for process in all_seen())
    return tuple(sorted(pid for pid in pids if pid != own and word in _command(pid)))


def end(mark: str, by: signal.Signals = signal.SIGKILL) -> None:
    """End every process with this mark, and wait until it is gone; `by` SIGTERM lets it put back first.

    Raises:
        AgentError: one is still there.
    """
    until = time.monotonic() + GONE_WITHIN_S
    while pids := marked(mark):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, by if time.monotonic() < until - GONE_WITHIN_S / 2 else signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            raise AgentError(f"the processes {', '.join(map(str, pids))} of a fault cannot be ended")
        time.sleep(0.01)


def remaining(mark: str) -> tuple[str, ...]:
    """Processes with this mark, in words."""
    return tuple(f"process {pid} of the fault" for pid in marked(mark))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended, or belongs to somebody else
        return b""
