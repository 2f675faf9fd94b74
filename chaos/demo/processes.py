"""The demo's processes: the shop beside Watchkeeper's roles, started, measured and stopped together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from chaos.demo.settings import Settings
from watchkeeper.child_process import end_with_parent
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles.startup import STILL_S, Movement, mark_of_process
from watchkeeper.roles.up import Interrupted

STOP_WITHIN_S = 10.0  # then it is killed


class Shop:
    """The shop's supervisor as a child process. Start it from the main thread: it ends with that thread."""

    def __init__(self, settings: Settings, *, seed: int, rate_per_s: float) -> None:
        self._settings = settings
        log = settings.config.data_dir / "log" / "shop.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "chaos.shop"),
            *("--otlp", settings.otlp_url),
            *("--changes", f"{settings.otlp_url}/api/v1/changes"),
            *("--data-dir", str(settings.shop_dir)),
            *("--port", str(settings.shop_port)),
            *("--rate", str(rate_per_s)),
            *("--seed", str(seed)),
        ]
        tokens = {
            "SHOP_CONTROL_TOKEN": settings.shop_token,
            "SHOP_CHANGES_TOKEN": settings.config.secret("commands"),
        }
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **tokens},
                preexec_fn=end_with_parent,  # noqa: PLW1509 - nothing else runs in this process yet
                start_new_session=True,
            )
        self._log = log

    def await_ready(self, asked_to_stop: Callable[[], bool] = lambda: False) -> None:
        """Wait until every service runs, for as long as something moves.

        Raises:
            WatchkeeperError: it ended, or nothing moves, with the end of its log.
            Interrupted: somebody asked to stop meanwhile.
        """
        movement = Movement(look_at=lambda: mark_of_process(self.process.pid, self._log))
        while True:
            if asked_to_stop():
                raise Interrupted("asked to stop while the shop started")
            try:
                ready = json.loads((self._settings.shop_dir / "shop.json").read_text())
                if ready["pid"] == self.process.pid:
                    return
            except (OSError, ValueError, KeyError, TypeError):
                pass
            movement.look()
            if self.process.poll() is not None or movement.still_s > STILL_S:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
                raise WatchkeeperError(f"the shop could not start; the end of {self._log}:\n{tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class PeakMemory:
    """Samples the resident memory of processes and keeps each one's peak, and the peak of their sum."""

    def __init__(self) -> None:
        self.mib: dict[str, float] = {}
        self.together_mib = 0.0

    def sample(self, pids: dict[str, int]) -> None:
        """`pids` are processes by role; a restarted role keeps its peak."""
        total = 0.0
        for role, pid in pids.items():
            try:
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                now = sum(member.memory_info().rss for member in family) / 2**20
            except psutil.NoSuchProcess:
                continue
            total += now
            self.mib[role] = max(self.mib.get(role, 0.0), now)
        self.together_mib = max(self.together_mib, total)


def shop_memory_mib(pid: int) -> float:
    """Memory of the shop's processes together; pages that forks share are counted once (PSS)."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for member in (root, *root.children(recursive=True)):
            total += member.memory_full_info().pss / 2**20
    except psutil.NoSuchProcess:
        pass
    return total


class Stopped(Exception):
    """Somebody asked the demo to stop."""


class Patience:
    """Waiting that ends at once when the demo is to stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    @property
    def over(self) -> bool:
        return self._stop.is_set()

    def sleep(self, seconds: float) -> None:
        """Raises Stopped when the demo is asked to stop meanwhile."""
        if self._stop.wait(max(0.0, seconds)):
            raise Stopped

    def every(self, step_s: float, within_s: float) -> Iterator[float]:
        """Yield the seconds waited so far, every `step_s`, for at most `within_s`."""
        started = time.monotonic()
        while (waited := time.monotonic() - started) < within_s:
            yield waited
            self.sleep(step_s)


@contextmanager
def stopping(shop: Shop | None) -> Iterator[None]:
    """Stop the shop at the end, whatever happens."""
    try:
        yield
    finally:
        if shop:
            shop.stop()
