"""A role from its claim to its end: what every role has in common, whatever it does."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from watchkeeper.config import Config
from watchkeeper.problems import SUFFIX, Problems
from watchkeeper.roles import heartbeat as heart
from watchkeeper.roles.heartbeat import Heart
from watchkeeper.roles.role_lock import claimed_by_role
from watchkeeper.roles.telemetry import configure_logs

BEAT_EVERY_S: Final = 1.0
OPEN_FILES: Final = 16_384
MAIN: Final = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a running role says of itself: what it set aside, and that its loops turn."""

    config: Config
    role: str
    problems: Problems
    heart: Heart

    def wait(self, stopping: threading.Event) -> None:
        """Wait in the main thread, beating, until asked to stop."""
        self.heart.expect(MAIN, self.config.roles.hung_after_s)
        while not stopping.wait(BEAT_EVERY_S):
            self.heart.beat(MAIN)
            self.problems.flush()
        self.problems.flush()
        self.heart.rest(MAIN)

    async def beat(self) -> None:
        """Beat in the event loop, as long as that turns."""
        self.heart.expect(MAIN, self.config.roles.hung_after_s)
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            self.heart.beat(MAIN)
            self.problems.flush()


@contextmanager
def alive(config: Config, role: str) -> Iterator[Life]:
    """Be the one such role on this data directory, with its log, its problems and its signs of life."""
    configure_logs()
    _allow_open_files()
    with claimed_by_role(config, role):
        signs = Heart(heart.path_of(config, role))
        signs.enter_phase("starting")
        problems = Problems(config.data_dir / "run" / f"{role}{SUFFIX}")
        yield Life(config=config, role=role, problems=problems, heart=signs)


def _allow_open_files() -> None:
    """As many open files and sockets as this user may have: the usual 1,024 is a default of shells."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
