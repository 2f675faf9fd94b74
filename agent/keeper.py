"""The keeper: the process that holds one fault, and ends it whatever becomes of anybody else.

    agent ──pipe──► keeper ──fork──► work: begins the fault and shows its effect; later another: ends it

    who is gone         who notices                  what happens
    the agent           the keeper (end of its pipe)  it ends the fault
    the keeper          the agent (its pidfd)         it starts a keeper that only ends
    work                the keeper (its pidfd)        it ends the fault
    agent and keeper    work (the kernel's signal)    it becomes a keeper that only ends
    all three           the agent that starts next    it starts a keeper that only ends

The keeper itself runs no line of a fault: what hangs in one can't keep it from its clock. Ending always begins with
kill -9 of the work, so there is one way to end, and every end tries it.

    python -I -m agent.keeper FOLDER          begin, hold and end
    python -I -m agent.keeper FOLDER --end    end what others began
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agent.audit import audit
from agent.finder import loaded
from agent.processes import all_seen
from agent.records import DiskRecord, FaultFolder
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import HostFault

STOP_FILE: Final = "stop"
LOOK_EVERY_S: Final = 0.4  # at the stop file: all must end within two seconds
EFFECT_EVERY_S: Final = 0.25
END_WITHIN_S: Final = 40.0  # one try: a service that has to be started again takes its time
REMAINS_WITHIN_S: Final = 2.0  # what was put back shows a moment later
LOCK_WITHIN_S: Final = 60.0
TRY_AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> int:
    folder = FaultFolder(Path(arguments[0]))
    only_end = "--end" in arguments[1:]
    try:
        lock = folder.lock(LOCK_WITHIN_S if only_end else 0.0)
        if lock is None:
            return 3  # another keeper has it
        _spare_from_memory_pressure()
        keeper = Keeper(folder, lock)
    except FileNotFoundError:
        folder.remove()  # all is over already
        return 0
    except AgentError as error:  # the disk lost what it had: a human must look
        audit(folder.root, "fault.unreadable", id=folder.id, error=error.message)
        print(error.message, file=sys.stderr)  # noqa: T201 - to the agent's log
        return 4
    keeper.end("a process that held it is gone") if only_end else keeper.hold()
    return 0


class Keeper:
    """Holds the lock of one fault's folder, and runs the fault's work in processes of its own."""

    def __init__(self, folder: FaultFolder, lock: int) -> None:
        self._folder = folder
        self._lock = lock
        self._root = folder.root
        self._state = folder.state()
        self._asked = folder.asked()
        self._signals, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, lambda *_: None)  # the wake-up pipe has it
        # Of a keeper before this one: what it left must do nothing any more.
        self._kill_work()
        folder.note_process("keeper", os.getpid())

    def hold(self) -> None:
        """Begin, hold until something says that it is over, end."""
        deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + float(self._asked["seconds"])
        fault, error = self._fault()
        if fault is None:
            self._finish(reason="it could not begin", error=error)
            return
        record = self._folder.record()
        work, messages = self._start(lambda send: _begin_and_watch(fault, record, send))
        reason, error = self._wait(work, messages, deadline)
        self.end(reason, error)

    def _wait(self, work: int, messages: int, deadline: float) -> tuple[str, str]:
        """Until the fault must end: why, and what went wrong."""
        poll = select.poll()
        gone = os.pidfd_open(work)
        for descriptor in (0, gone, messages, self._signals):
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        lines = _Lines(messages)
        failure = ""
        try:
            while True:
                left = deadline - time.clock_gettime(time.CLOCK_BOOTTIME)
                if left <= 0:
                    return "its time is over", failure
                ready = dict(poll.poll(1000 * min(left, LOOK_EVERY_S)))
                if messages in ready:
                    for message in lines.read():
                        failure = self._heard(message) or failure
                    if lines.ended:
                        poll.unregister(messages)
                if self._signals in ready:
                    return "its keeper was told to stop", failure
                if 0 in ready:
                    said = os.read(0, 4096).decode(errors="replace").strip()
                    return (said.splitlines()[-1], failure) if said else ("the agent is gone", failure)
                if gone in ready:
                    return ("it could not begin" if failure else "the process that held it is gone"), failure
                if (self._root / STOP_FILE).exists():
                    return "everything was stopped", failure
        finally:
            os.close(gone)

    def _heard(self, message: dict[str, Any]) -> str:
        """Keep what the work reports; returns its failure."""
        if "begun" in message:
            self._write(state="holding")
            audit(self._root, "fault.begun", id=self._folder.id, service=self._state.service, fault=self._state.fault)
        if "effect" in message:
            effect = str(message["effect"])
            first = self._state.effect_at or (time.time() if effect else 0.0)
            if effect and not self._state.effect_at:
                audit(self._root, "fault.effect", id=self._folder.id, effect=effect)
            self._write(effect=effect or self._state.effect, effect_at=first)
        return str(message.get("failed", ""))

    def end(self, reason: str, error: str = "") -> None:
        """End, again and again until nothing remains."""
        self._write(state="ending", reason=reason, error=error)
        tries = 0
        while True:
            self._kill_work()
            failure, remains = self._try_to_end()
            if not failure and not remains:
                break
            if not self._folder.path.exists():  # somebody deleted what would have to be put back
                os.write(2, f"fault.lost {self._folder.id} {self._state.service}: its record was deleted\n".encode())
                return
            said = failure or f"after its end there is still {', '.join(remains)}"
            if tries == 0 or tries % 20 == 0:
                audit(self._root, "fault.stuck", id=self._folder.id, service=self._state.service, error=said)
                os.write(2, f"fault.stuck {self._folder.id} {self._state.service}: {said}\n".encode())
            self._write(state="stuck", error=said, remains=remains)
            self._pause(TRY_AGAIN_S[min(tries, len(TRY_AGAIN_S) - 1)])
            tries += 1
        self._finish(reason=reason, error=error)

    def _try_to_end(self) -> tuple[str, tuple[str, ...]]:
        """One try: what failed, and what remains."""
        fault, error = self._fault()
        if fault is None:
            return error, ()
        try:
            record = self._folder.record()
        except AgentError as unreadable:
            return unreadable.message, ()
        work, messages = self._start(lambda send: _end(fault, record, send))
        lines, deadline = _Lines(messages), time.monotonic() + END_WITHIN_S
        answer: dict[str, Any] = {}
        while not answer and not lines.ended and time.monotonic() < deadline:
            if select.select([messages], [], [], max(0.0, deadline - time.monotonic()))[0]:
                for message in lines.read():
                    answer = message
        lines.close()
        self._kill_work()
        if "remains" in answer:
            return "", tuple(map(str, answer["remains"]))
        if "failed" in answer:
            return str(answer["failed"]), tuple(map(str, answer.get("left", ())))
        return f"its end did not answer within {END_WITHIN_S:g} s, or died (process {work})", ()

    def _finish(self, *, reason: str, error: str) -> None:
        while True:
            try:
                self._folder.finish(state="ended", ended_at=time.time(), reason=reason, error=error, remains=())
                break
            except OSError as full:  # nothing is broken any more; only the disk does not take the last line
                os.write(2, f"fault.unwritten {self._folder.id}: {full}\n".encode())
                self._pause(TRY_AGAIN_S[-1])
        fields = {"service": self._state.service, "fault": self._state.fault, "reason": reason}
        audit(self._root, "fault.ended", id=self._folder.id, **fields, error=error)

    def _pause(self, seconds: float) -> None:
        """A signal, such as another request to end, cuts it short."""
        if select.select([self._signals], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                os.read(self._signals, 4096)

    def _write(self, **changes: Any) -> None:
        with suppress(AgentError):
            self._state = self._folder.write_state(**changes)

    def _fault(self) -> tuple[HostFault | None, str]:
        """The fault whose name is in the record, or why it cannot be had."""
        try:
            fault: HostFault = loaded(str(self._asked["part"]))()
        except Exception as error:  # noqa: BLE001 - a part of another package, which may have been removed meanwhile
            return None, f"the fault {self._state.fault} cannot be loaded: {error}"
        return fault, ""

    def _start(self, work: Callable[[Callable[..., None]], None]) -> tuple[int, int]:
        """Fork a process for `work`: its pid, and the descriptor of what it reports."""
        messages, theirs = os.pipe()
        may_go, go = os.pipe()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            for descriptor in (messages, go, self._lock):
                os.close(descriptor)
            _work(self._folder, keeper, may_go, theirs, work)
        os.close(theirs)
        os.close(may_go)
        # Whoever comes after us must be able to find it before it does anything.
        self._folder.note_process("work", pid)
        os.write(go, b"!")
        os.close(go)
        return pid, messages

    def _kill_work(self) -> None:
        """kill -9 of the noted work and its process group; returns when it does nothing any more."""
        noted = self._folder.process("work")
        if noted is None:
            return
        pid, _, session = noted
        # Its session is that of this fault's keepers alone: a process id that was given away again is in another one.
        while group := [
            each
            for each in all_seen()
            if pid in (each.group, each.pid) and each.session == session and each.pid != os.getpid()
        ]:
            for each in group:
                with suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
            time.sleep(0.005)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        self._folder.note_process("work", 0)


class _Lines:
    """JSON lines from a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._is_open = True
        self.ended = False

    def close(self) -> None:
        """Once is enough; again does nothing."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)

    def read(self) -> list[dict[str, Any]]:
        data = os.read(self._descriptor, 65_536)
        self.ended = not data
        *complete, self._rest = (self._rest + data).split(b"\n")
        if self.ended:
            self.close()
        return [json.loads(line) for line in complete]


def _work(
    folder: FaultFolder, keeper: int, may_go: int, messages: int, work: Callable[[Callable[..., None]], None]
) -> NoReturn:
    """What a forked process does: wait until it is noted, work, leave. Without its keeper it becomes one."""

    def become_keeper(*_: object) -> NoReturn:
        os.execv(sys.executable, command(folder.path, only_end=True))  # noqa: S606 - ourselves

    def send(**message: Any) -> None:
        try:
            os.write(messages, json.dumps(message, default=str).encode() + b"\n")
        except BrokenPipeError:  # the keeper is gone; its signal may be a moment late
            become_keeper()

    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, become_keeper)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        if not os.read(may_go, 1) or os.getppid() != keeper:
            become_keeper()  # nobody could find this process: it must do nothing else
        work(send)
    except AgentError as error:
        send(failed=error.message)
    except BaseException as error:  # noqa: BLE001 - a mistake of whoever wrote the fault; the keeper ends it all the same
        send(failed=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _begin_and_watch(fault: HostFault, record: DiskRecord, send: Callable[..., None]) -> NoReturn:
    """Break, then report the effect whenever it changes, at most once a second, until killed."""
    fault.begin(record)
    send(begun=True)
    last = ""
    while True:
        try:
            effect = fault.effect(record)
        except AgentError as error:
            effect = ""
            send(effect="", trouble=error.message)
        if effect and effect != last:
            send(effect=effect)
            last = effect
        time.sleep(1.0 if last else EFFECT_EVERY_S)


def _end(fault: HostFault, record: DiskRecord, send: Callable[..., None]) -> None:
    """Put back, and report what is still there a moment later."""
    try:
        fault.end(record)
    except AgentError as error:
        send(failed=error.message, left=_remains(fault, record))
        return
    deadline = time.monotonic() + REMAINS_WITHIN_S
    while (left := fault.remains(record)) and time.monotonic() < deadline:
        time.sleep(0.05)
    send(remains=left)


def _remains(fault: HostFault, record: DiskRecord) -> tuple[str, ...]:
    try:
        return fault.remains(record)
    except Exception:  # noqa: BLE001 - what failed before is what is reported
        return ()


def _spare_from_memory_pressure() -> None:
    """Of all processes, the kernel should end this one last: it frees what the others took. Needs root."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-900")


def command(folder: Path, *, only_end: bool = False) -> list[str]:
    """How a keeper is started. `-I`: neither the folder nor the environment decides what is imported."""
    return [sys.executable, "-I", "-m", "agent.keeper", str(folder), *(["--end"] if only_end else [])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
