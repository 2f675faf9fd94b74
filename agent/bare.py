"""Processes that no supervisor looks after: started by a command of the agent's file, stopped by signals."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent.finder import Found, Note, WrongSetting, command, text
from agent.launch import failure, launch, run
from agent.listening import ports_of
from agent.processes import PROC, all_seen, born, is_alive, send, with_children
from watchkeeper.errors import AgentError

KEYS: Final = ("start", "stop", "folder", "user", "log", "environment", "stop_within_seconds", "supervised")
COUNT: Final = "{count}"  # in the command that scales
SHOWS_WITHIN_S: Final = 15.0
STOP_WITHIN_S: Final = 10.0
LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """How a bare process is started and stopped. Without `stop`: SIGTERM, and SIGKILL after a while.

    `supervised`: something that the agent does not know starts it again when it dies, unless `stop` was run.
    """

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    folder: str | None = None
    user: str | None = None
    log: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_within_s: float = STOP_WITHIN_S
    supervised: bool = False

    @property
    def verbs(self) -> frozenset[str]:
        return frozenset({"start", "stop", "restart"} if self.start else {"stop"})


def commands_in(settings: Mapping[str, Any]) -> Commands:
    """The part of a finder's settings that is about starting and stopping. Raises WrongSetting."""
    environment = settings.get("environment", {})
    if not isinstance(environment, Mapping) or not all(isinstance(each, str) for each in environment.values()):
        raise WrongSetting("environment", "must hold names and texts")
    within = settings.get("stop_within_seconds", STOP_WITHIN_S)
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 < within <= 600:
        raise WrongSetting("stop_within_seconds", "must be a number of seconds up to 600")
    supervised = settings.get("supervised", False)
    if not isinstance(supervised, bool):
        raise WrongSetting("supervised", "must be yes or no")
    if supervised and not {"start", "stop"} <= set(settings):
        raise WrongSetting("supervised", "needs `stop`, after which nobody starts it again, and `start`")
    texts = {key: text(settings, key) for key in ("folder", "user", "log") if key in settings}
    return Commands(
        start=command(settings, "start"),
        stop=command(settings, "stop"),
        environment=dict(environment),
        stop_within_s=float(within),
        supervised=supervised,
        **texts,
    )


def matching(pattern: re.Pattern[str]) -> tuple[int, ...]:
    """The processes whose command line matches, without those whose parent does, and without the agent's own."""
    found = {}
    for process in all_seen():
        line = "" if process.pid == 1 or process.pid == os.getpid() else command_line(process.pid)
        if line and pattern.search(line) and not is_of_an_agent(line):
            found[process.pid] = process.parent
    return tuple(sorted(pid for pid, parent in found.items() if parent not in found))


def command_line(pid: int) -> str:
    """The arguments with which a process was started, with blanks between them; empty where it is gone."""
    try:  # no `Path`, as in `agent.processes.seen`
        with open(f"{PROC}/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_of_an_agent(line: str) -> bool:
    """Whether a command line is that of an agent or a keeper, which no fault may touch."""
    return bool(re.search(r" -m agent(\.[\w.]+)?( |$)|watchkeeper agent( |$)", line))


def act(verb: str, commands: Commands, find: Callable[[], tuple[Found, ...]], note: Note, port: int) -> str:
    """Start, stop or restart; a start waits until the service listens on `port`, unless 0. Raises AgentError."""
    if verb == "start":
        return _start(commands, find, note, port)
    if verb == "stop":
        return _stop(commands, find)
    if verb == "restart":
        stopped = _stop(commands, find)
        return f"{stopped}; {_start(commands, find, note, port)}"
    raise AgentError(f"a process without a supervisor does not take {verb!r}")


def _start(commands: Commands, find: Callable[[], tuple[Found, ...]], note: Note, port: int) -> str:
    if find():
        return "nothing: it runs"
    if not commands.start:
        raise AgentError("the agent's file has no `start` command for it")
    pid = launch(
        commands.start,
        note=note,
        folder=commands.folder,
        user=commands.user,
        log=commands.log,
        environment=commands.environment,
    )
    identity, deadline = born(pid), time.monotonic() + SHOWS_WITHIN_S
    was_found = False
    while True:
        found = find()
        if found and (not port or any(port in ports_of(each.pids) for each in found)):
            return f"started as process {found[0].pids[0]}"
        if not found and (status := failure(pid)):
            where = f"; its output is in {commands.log}" if commands.log else "; set `log` to see its output"
            raise AgentError(f"{commands.start[0]} failed with status {status}{where}")
        # A command may start the service and end, as many start scripts do: then the wait goes on.
        if was_found and not found:
            raise AgentError(f"{commands.start[0]} was started as process {pid}, and has ended again")
        if time.monotonic() > deadline:
            break
        was_found = bool(found)
        time.sleep(LOOK_EVERY_S)
    if found:
        return f"started as process {found[0].pids[0]}, which does not listen on port {port} yet"
    state = "runs" if is_alive(pid, identity) else "has ended"
    raise AgentError(
        f"{commands.start[0]} was started as process {pid}, which {state}, "
        f"but the service is not found after {SHOWS_WITHIN_S:g} s"
    )


def scale(
    words: Sequence[str], count: int, commands: Commands, find: Callable[[], tuple[Found, ...]], note: Note
) -> str:
    """Run the command that leads to so many instances, and wait until they are found. Raises AgentError."""
    if len(find()) == count:
        return f"nothing: {count} run already"
    command_words = [word.replace(COUNT, str(count)) for word in words]
    pid = launch(
        command_words,
        note=note,
        folder=commands.folder,
        user=commands.user,
        log=commands.log,
        environment=commands.environment,
    )
    deadline = time.monotonic() + SHOWS_WITHIN_S
    while len(instances := find()) != count:
        if status := failure(pid):
            raise AgentError(f"{words[0]} failed with status {status}; {len(instances)} instances run")
        if time.monotonic() > deadline:
            raise AgentError(
                f"{words[0]} was run for {count} instances, and {len(instances)} run after {SHOWS_WITHIN_S:g} s"
            )
        time.sleep(LOOK_EVERY_S)
    return f"{count} instances run"


def _stop(commands: Commands, find: Callable[[], tuple[Found, ...]]) -> str:
    instances = find()
    if not instances and not commands.supervised:  # whoever starts it again has perhaps not done so yet
        return "nothing: it does not run"
    if commands.stop:
        run(commands.stop, within_s=commands.stop_within_s, folder=commands.folder, user=commands.user)
    processes = [(pid, born(pid)) for each in instances for pid in with_children(each.pids[0]) or each.pids]
    mains = [each.pids[0] for each in instances]
    end(processes, mains if not commands.stop else [], commands.stop_within_s)
    return f"stopped process {', '.join(map(str, mains))}" if mains else "stopped"


def end(processes: Sequence[tuple[int, str]], asked: Sequence[int], within_s: float) -> None:
    """Have processes end: SIGTERM to those that are `asked`, then to those that outlive them, SIGKILL after a while."""
    told: set[int] = set()
    deadline = time.monotonic() + within_s
    while (left := [each for each in processes if is_alive(*each)]) and time.monotonic() < deadline:
        now = [each for each in left if each[0] in asked] or left
        for pid, identity in now:
            if pid not in told:
                send(pid, identity, signal.SIGTERM)
                send(pid, identity, signal.SIGCONT)  # one that is stopped hears nothing else
                told.add(pid)
        time.sleep(LOOK_EVERY_S)
    for pid, identity in left:
        send(pid, identity, signal.SIGKILL)
    while any(is_alive(*each) for each in left):
        time.sleep(LOOK_EVERY_S)
