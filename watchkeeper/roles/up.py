"""Every role in one terminal: start, watch, restart with back-off, stop.

    store ── ready ──► ingest, watch, web, standin

A role that dies is started again after 0.5 s, then 1, 2, 4 … 30 s; a role that stays up for a minute
starts counting anew. The others keep working meanwhile.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles import ready

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0
STOP_WITHIN_S = 10.0
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


def roles_for(config: Config) -> tuple[str, ...]:
    """The roles that this configuration needs, in the order in which they start."""
    names = ["ingest", "watch", "web"]
    if config.store.url is None:
        names.insert(0, "store")
    if not config.slack_is_real and config.slack.stand_in.enabled:
        names.append("standin")
    return tuple(names)


def _die_with_parent() -> None:
    """Ask the kernel to end a role whose supervisor was killed, so that no port stays taken."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True, kw_only=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float
    backoff_s: float = FIRST_BACKOFF_S
    restart_at: float | None = None


class Supervisor:
    """Keeps the roles of one configuration running; used by `watchkeeper up` and by the demo."""

    def __init__(self, config: Config, config_path: Path | None, *, say: Say) -> None:
        self._config = config
        self._config_path = config_path
        self._say = say
        self._children: dict[str, _Child] = {}
        self._logs: dict[str, IO[bytes]] = {}
        self.restarts: dict[str, int] = {}

    def start(self, *, within_s: float = 60.0) -> None:
        """Start every role and wait until each is ready.

        Raises:
            WatchkeeperError: a role ended, or was not ready in time; says where its log is.
        """
        names = roles_for(self._config)
        if "store" in names:
            self._spawn("store")
            self._await_ready(("store",), within_s)
        for name in names:
            if name != "store":
                self._spawn(name)
        self._await_ready(names, within_s)

    def pids(self) -> dict[str, int]:
        """The process of each role that is running."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.poll() is None}

    def tend(self) -> None:
        """Look once at every role: start again what died and has waited long enough."""
        now = time.monotonic()
        for child in self._children.values():
            status = child.process.poll()
            if status is None:
                if now - child.started > STEADY_AFTER_S:
                    child.backoff_s = FIRST_BACKOFF_S
            elif child.restart_at is None:
                child.restart_at = now + child.backoff_s
                self._say(
                    f"{child.name} ended ({_how(status)}); starting it again in {child.backoff_s:g} s. "
                    f"Its log: {self._log_path(child.name)}"
                )
            elif now >= child.restart_at:
                backoff = min(child.backoff_s * 2, LONGEST_BACKOFF_S)
                self._spawn(child.name, backoff_s=backoff)
                self.restarts[child.name] = self.restarts.get(child.name, 0) + 1

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
                self._say(f"{child.name} did not stop within {STOP_WITHIN_S:g} s; killing it")
                child.process.kill()
                child.process.wait()
        for log in self._logs.values():
            log.close()

    def _log_path(self, name: str) -> Path:
        return self._config.data_dir / "log" / f"{name}.log"

    def _spawn(self, name: str, *, backoff_s: float = FIRST_BACKOFF_S) -> None:
        path = self._log_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name not in self._logs:
            self._logs[name] = path.open("ab")
        command = [sys.executable, "-m", "watchkeeper.cli.main", name]
        if self._config_path:
            command += ["--config", str(self._config_path)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._logs[name],
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process starts roles from its only thread
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops the roles in order
        )
        self._children[name] = _Child(name=name, process=process, started=time.monotonic(), backoff_s=backoff_s)

    def _await_ready(self, names: tuple[str, ...], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        waiting = list(names)
        while waiting:
            for name in list(waiting):
                child = self._children[name]
                status = child.process.poll()
                if status is not None:
                    raise WatchkeeperError(f"{name} could not start:\n{_tail(self._log_path(name))}")
                found = ready.read(self._config, name)
                if found and found.pid == child.process.pid:
                    waiting.remove(name)
            if time.monotonic() > deadline:
                raise WatchkeeperError(
                    f"{', '.join(waiting)} was not ready within {within_s:g} s. "
                    f"See {self._log_path(waiting[0])}, or run `watchkeeper doctor`."
                )
            time.sleep(0.1)


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _tail(path: Path, lines: int = 5) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question: has anybody asked to stop?"""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(config: Config, config_path: Path | None, *, say: Say) -> None:
    """Supervise until asked to stop."""
    supervisor = Supervisor(config, config_path, say=say)
    with stopping_on_signals() as asked:
        try:
            supervisor.start()
            web = ready.read(config, "web")
            port = web.ports.get("http", config.web.port) if web else config.web.port
            base = config.web.public_url or f"http://{config.web.host}:{port}"
            say(f"Dashboard   {base}/?token={config.secret('commands')}")
            if not config.slack_is_real:
                stand_in = ready.read(config, "standin")
                if stand_in:
                    say(f"Slack page  http://{config.slack.stand_in.host}:{stand_in.ports.get('http')}/")
            say(
                f"OTLP        http://{config.ingest.host}:{config.ingest.otlp_http_port} (HTTP), "
                f"{config.ingest.host}:{config.ingest.otlp_grpc_port} (gRPC)"
            )
            say("Ctrl-C stops everything.")
            while not asked():
                supervisor.tend()
                time.sleep(0.2)
            say("Stopping…")
        finally:
            supervisor.stop()
