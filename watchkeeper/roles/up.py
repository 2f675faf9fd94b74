"""Every role in one terminal: start, watch, restart with back-off, stop.

    store ── ready ──► ingest, watch, web, standin

A role that dies is started again after 0.5 s, then 1, 2, 4 … 30 s; a role that stays up for a minute
starts counting anew. A role that hangs is ended, and then is one that died. The others keep working meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from watchkeeper.child_process import end_with_parent
from watchkeeper.config import Config
from watchkeeper.config_values import bracketed
from watchkeeper.durations import backoff_s
from watchkeeper.errors import WatchkeeperError
from watchkeeper.private_files import private_folder, unusable
from watchkeeper.roles import heartbeat as heart
from watchkeeper.roles import ready
from watchkeeper.roles.role_lock import SUPERVISOR, claimed
from watchkeeper.roles.startup import LONGEST_BETWEEN_S, STILL_S, Movement, mark_of
from watchkeeper.roles.state_file import look_after

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
STOP_WITHIN_S: Final = 10.0
# What hangs is asked to end for so long, then killed.
ASK_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
REPORT_EVERY_S: Final = 10.0
LEAST_FREE_BYTES: Final = 32 << 20

Notify = Callable[[str], None]


class Interrupted(WatchkeeperError):
    """Somebody asked to stop while the roles started."""


def roles_for(config: Config) -> tuple[str, ...]:
    """The roles that this configuration needs, in the order in which they start."""
    names = ["ingest", "watch", "web"]
    if config.store.url is None:
        names.insert(0, "store")
    if "slack" in config.channels and not config.slack_is_real and config.slack.stand_in.enabled:
        names.append("standin")
    return tuple(names)


@dataclass(slots=True, kw_only=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float
    movement: Movement
    failures: int = 0  # ends one soon after the other
    restart_at: float | None = None
    kill_at: float | None = None
    beats: dict[str, float] = field(default_factory=dict)  # by loop: when it last turned
    unturned_s: dict[str, float] = field(default_factory=dict)  # and how long we have watched it not turn

    def hangs(self, pulse: heart.Pulse | None, between_s: float) -> str:
        """Why this role is hung, or nothing. `between_s` is how long we have been watching since the last look."""
        if pulse is None or pulse.pid != self.process.pid or not pulse.loops:
            # Not ready yet, or too hung to be heard of: then it must move.
            self.movement.look()
            return f"nothing moved for {self.movement.still_s:.0f} s" if self.movement.still_s > STILL_S else ""
        for gone in self.beats.keys() - pulse.loops.keys():
            del self.beats[gone], self.unturned_s[gone]
        for name, loop in pulse.loops.items():
            if self.beats.get(name) != loop.turned_at:
                self.beats[name], self.unturned_s[name] = loop.turned_at, 0.0
            else:
                self.unturned_s[name] += between_s
            if self.unturned_s[name] > loop.within_s:
                return f"its loop `{name}` has not turned for {self.unturned_s[name]:.0f} s"
        return ""


class Supervisor:
    """Keeps the roles of one configuration running; used by `watchkeeper up` and by the demo."""

    def __init__(
        self,
        config: Config,
        config_path: Path | None,
        *,
        notify: Notify,
        asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._config_path = config_path
        self._notify = notify
        self._asked_to_stop = asked_to_stop
        self._children: dict[str, _Child] = {}
        self._logs: dict[str, IO[bytes]] = {}
        self._claim = ExitStack()
        self._looked_at = time.monotonic()
        self.restarts: dict[str, int] = {}

    def start(self) -> None:
        """Start every role and wait until each is ready, for as long as something moves.

        Raises:
            WatchkeeperError: another supervisor is here, a role ended, or nothing moves; names its log.
            Interrupted: somebody asked to stop meanwhile.
        """
        self._claim.enter_context(claimed(self._config, SUPERVISOR))
        _require_space(self._config)
        repaired = look_after(self._config)
        if repaired:
            self._notify(str(repaired))
        names = roles_for(self._config)
        if "store" in names:
            self._spawn("store")
            self._await_ready(("store",))
        for name in names:
            if name != "store":
                self._spawn(name)
        self._await_ready(tuple(name for name in names if name != "store"))

    def pids(self) -> dict[str, int]:
        """The process of each role that is running."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.poll() is None}

    def tend(self) -> None:
        """Look once at every role: end what hangs, start again what died and has waited long enough."""
        now = time.monotonic()
        between_s = min(now - self._looked_at, LONGEST_BETWEEN_S)
        watch_for_hung = now - self._looked_at >= LOOK_EVERY_S
        if watch_for_hung:
            self._looked_at = now
        for child in self._children.values():
            status = child.process.poll()
            if status is None:
                if now - child.started > STEADY_AFTER_S:
                    child.failures = 0
                if watch_for_hung:
                    self._end_if_hung(child, now, between_s)
            elif child.restart_at is None:
                wait_s = backoff_s(child.failures + 1, FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
                child.restart_at = now + wait_s
                self._notify(
                    f"{child.name} ended ({_how(status)}); starting it again in {wait_s:g} s. "
                    f"Its log: {self._log_path(child.name)}"
                )
            elif now >= child.restart_at:
                self._spawn(child.name, failures=child.failures + 1)
                self.restarts[child.name] = self.restarts.get(child.name, 0) + 1

    def _end_if_hung(self, child: _Child, now: float, between_s: float) -> None:
        if child.kill_at is not None:
            if now >= child.kill_at:
                child.process.kill()
            return
        why = child.hangs(heart.read(self._config, child.name), between_s)
        if not why:
            return
        if not self._can_write():
            # Signs of life are files: on a disk that takes none, silence means nothing.
            child.unturned_s.clear()
            child.beats.clear()
            return
        self._notify(f"{child.name} (pid {child.process.pid}) hangs: {why}; ending it")
        child.process.terminate()
        child.kill_at = now + ASK_S

    def _can_write(self) -> bool:
        probe = self._config.data_dir / "run" / f".probe.{os.getpid()}"
        try:
            probe.write_bytes(b"." * heart.SIZE)
            probe.unlink()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Ask every role to stop, readers before writers, and wait; after ten seconds, kill what is left."""
        running = [c for c in reversed(self._children.values()) if c.process.poll() is None]
        for child in running:
            if child.name != "store":
                child.process.send_signal(signal.SIGTERM)
        for child in sorted(running, key=lambda c: c.name == "store"):  # the store last: others still write to it
            if child.name == "store":
                child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._notify(f"{child.name} did not stop within {STOP_WITHIN_S:g} s; killing it")
                child.process.kill()
                child.process.wait()
        for log in self._logs.values():
            log.close()
        self._claim.close()

    def _log_path(self, name: str) -> Path:
        return self._config.data_dir / "log" / f"{name}.log"

    def _spawn(self, name: str, *, failures: int = 0) -> None:
        if name not in self._logs:
            self._logs[name] = _open_log(self._log_path(name))
        command = [sys.executable, "-m", "watchkeeper.cli.main", name]
        if self._config_path:
            command += ["--config", str(self._config_path)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._logs[name],
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=end_with_parent,  # noqa: PLW1509 - this process starts roles from its only thread
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops the roles in order
        )
        self._children[name] = _Child(
            name=name,
            process=process,
            started=time.monotonic(),
            movement=Movement(look_at=lambda: mark_of(self._config, name, process.pid, self._log_path(name))),
            failures=failures,
        )

    def _await_ready(self, names: tuple[str, ...]) -> None:
        waiting = [self._children[name] for name in names]
        for child in waiting:
            self._notify(f"{child.name}: starting")
        looked_at = reported_at = time.monotonic()
        while waiting:
            if self._asked_to_stop():
                raise Interrupted("asked to stop while the roles started")
            for child in list(waiting):
                if self._is_ready(child):
                    waiting.remove(child)
                    self._notify(f"{child.name}: ready ({time.monotonic() - child.started:.1f} s)")
            now = time.monotonic()
            if now - looked_at >= LOOK_EVERY_S:
                looked_at = now
                for child in waiting:
                    self._refuse_if_still(child)
            if waiting and now - reported_at >= REPORT_EVERY_S:
                reported_at = now
                for child in waiting:
                    self._notify(f"{child.name}: {self._busy_with(child)} ({now - child.started:.0f} s)")
            time.sleep(0.1)

    def _is_ready(self, child: _Child) -> bool:
        status = child.process.poll()
        if status is not None:
            path = self._log_path(child.name)
            raise WatchkeeperError(
                f"{child.name} could not start ({_how(status)}):\n{_tail(path)}\n{_hint(status)}Its log: {path}"
            )
        found = ready.read(self._config, child.name)
        return found is not None and found.pid == child.process.pid

    def _refuse_if_still(self, child: _Child) -> None:
        child.movement.look()
        if child.movement.still_s > STILL_S:
            path = self._log_path(child.name)
            raise WatchkeeperError(
                f"{child.name} is not ready, and nothing of it moved for {STILL_S:g} s "
                f"(it was {self._busy_with(child)}):\n{_tail(path)}\nSee {path}, or run `watchkeeper doctor`."
            )

    def _busy_with(self, child: _Child) -> str:
        return child.movement.mark.phase or "starting"


def _open_log(path: Path) -> IO[bytes]:
    private_folder(path.parent)
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    except OSError as error:
        raise unusable(path, error) from error


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _hint(status: int) -> str:
    """What an end by a signal that nobody sends usually means."""
    hints = {
        signal.SIGKILL: "The kernel kills a process when memory runs out: free some, or lower store.memory_mib.\n",
        signal.SIGILL: "This processor lacks instructions that the embedded store needs (x86-64-v2 or ARMv8).\n",
        signal.SIGXFSZ: "This user's files may not grow so large: raise `ulimit -f`.\n",
    }
    return hints.get(signal.Signals(-status), "") if status < 0 else ""


def _require_space(config: Config) -> None:
    """Refuse to start on a full disk; roles that run already go on there, and say so."""
    free = shutil.disk_usage(config.data_dir).free
    if free < LEAST_FREE_BYTES:
        raise WatchkeeperError(
            f"{config.data_dir}: the disk is full ({free >> 10} KiB free, {LEAST_FREE_BYTES >> 20} MiB needed). "
            "Free some space, or set data_dir to another disk."
        )


def _tail(path: Path, lines: int = 5) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:]) or "(its log is empty)"
    except OSError as error:
        return f"(its log cannot be read: {error})"


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT, SIGTERM and SIGHUP (a closed terminal, unless under `nohup`) into: has anybody asked to stop?"""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(config: Config, config_path: Path | None, *, notify: Notify) -> None:
    """Supervise until asked to stop."""
    with stopping_on_signals() as asked:
        supervisor = Supervisor(config, config_path, notify=notify, asked_to_stop=asked)
        try:
            supervisor.start()
            _greet(config, notify)
            while not asked():
                supervisor.tend()
                time.sleep(0.2)
        except Interrupted:
            pass
        finally:
            if supervisor.pids():
                notify("Stopping…")
            supervisor.stop()


def _greet(config: Config, notify: Notify) -> None:
    web = ready.read(config, "web")
    port = web.ports.get("http", config.web.port) if web else config.web.port
    base = config.web.public_url or f"http://{bracketed(config.web.host)}:{port}"
    notify(f"Dashboard   {base}/?token={config.secret('commands')}")
    if not config.slack_is_real:
        stand_in = ready.read(config, "standin")
        if stand_in:
            notify(f"Slack page  http://{bracketed(config.slack.stand_in.host)}:{stand_in.ports.get('http')}/")
    notify(
        f"OTLP        http://{bracketed(config.ingest.host)}:{config.ingest.otlp_http_port} (HTTP), "
        f"{bracketed(config.ingest.host)}:{config.ingest.otlp_grpc_port} (gRPC)"
    )
    notify("Ctrl-C stops everything.")
