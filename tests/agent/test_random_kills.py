"""Faults of every kind while agent, keeper and work are killed at random: all that they touched is as it was.

`WATCHKEEPER_KILL_ROUNDS=200 pytest tests/agent/test_random_kills.py` is the long run; with WATCHKEEPER_KILL_SEED it is
repeated.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from agent.faults.redis_wire import Redis
from agent.holders.cgroup import folder_of
from agent.proxy.control import ask
from agent.proxy.running import end, ports
from agent.records import open_folders
from tests.agent.databases import postgresql, redis
from tests.agent.trials import of_our_faults
from tests.bare_host import BareService, keepers_of
from tests.running_agent import RunningAgent, allowed, kill_all
from tests.waiting import until
from watchkeeper.ports import free_port

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("WATCHKEEPER_KILL_ROUNDS", "7"))
SEED = int(os.environ.get("WATCHKEEPER_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
LONGEST_S = 2.0
LATEST_KILL_S = 2.0
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "bandwidth": {},
    "certificate_expired": {},
    "command": {},
    "cpu": {"percent": 10.0},
    "dependency_down": {},
    "disk_full": {"mb": 30.0},
    "disk_read_only": {},
    "disk_slow": {},
    "http_errors": {},
    "latency": {},
    "memory": {"mb": 32.0},
    "partition": {},
    "postgresql_lock": {},
    "postgresql_slow": {},
    "redis_full": {},
    "reset": {},
}


class Place:
    """A service with everything that faults touch, and how all of it was."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._processes = stack.enter_context(of_our_faults())
        self.service = BareService()
        self.service.start()
        stack.callback(self.service.end)
        self.listen = free_port()
        self.flag, self.read_only = folder / "flag", folder / "read-only"
        self.read_only.mkdir()
        self.redis = stack.enter_context(redis())
        self.postgresql = stack.enter_context(postgresql(folder / "postgresql"))
        with Redis(self.redis) as store:
            self.settings_of_redis = self._settings(store)
        self.group = folder_of(self.service.instance().pid, "blkio")

    def section(self) -> dict[str, Any]:
        settings = {
            "redis_url": self.redis,
            "postgresql_url": self.postgresql,
            "postgresql_tables": "loans",
            "fill_folder": str(self.flag.parent),
            "read_only_folder": str(self.read_only),
            "slow_folder": str(self.flag.parent),
            "dependencies": f"itself=127.0.0.1:{self.listen}",
            "tls": "yes",
            "command.flag.do": f"touch {self.flag}",
            "command.flag.undo": f"rm -f {self.flag}",
            "command.flag.check": f"test -e {self.flag}",
        }
        proxy = {"listen": self.listen, "to": self.service.port}
        return {**allowed(self.service)["orders"], "faults": list(FAULTS), "settings": settings, "proxy": proxy}

    def is_as_it_was(self) -> bool:
        """Redis, the table, the flag, the proxy, the service, its disk, and no process of a fault."""
        with Redis(self.redis) as store:
            if self._settings(store) != self.settings_of_redis:
                return False
        try:
            with psycopg.connect(self.postgresql, options="-c lock_timeout=200") as connection:
                connection.execute("SELECT * FROM loans")
        except psycopg.errors.LockNotAvailable:
            return False
        state = ask(self.listen, {"do": "state"})
        if self.flag.exists() or (state is not None and state["rule"]) or not self.service.answers():
            return False
        if self.read_only.is_mount() or folder_of(self.service.instance().pid, "blkio") != self.group:
            return False
        return not self._processes()

    @staticmethod
    def _settings(store: Redis) -> tuple[str, str]:
        return store.setting("maxmemory"), store.setting("maxmemory-policy")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "postgresql").mkdir()
    with ExitStack() as stack:
        made = Place(stack, folder)
        yield made
        end([port for port in ports() if port == made.listen])


def test_everything_is_as_it_was_whoever_is_killed(place: Place, tmp_path: Path) -> None:
    """After each round; a new agent comes only where nobody is left."""
    dice, killed, begun = random.Random(SEED), Counter[str](), Counter[str]()
    agent = RunningAgent(tmp_path, {"orders": place.section()})
    names = sorted(FAULTS)
    dice.shuffle(names)
    try:
        for number in range(ROUNDS):
            if not agent.is_running:
                agent.stop()
                agent.start()
            until(lambda: place.listen in ports(), what="the proxy")
            fault = names[number % len(names)]
            what = f"the end of {fault}, round {number} of seed {SEED}"
            fault_id = agent.begin(fault, dice.uniform(0.3, LONGEST_S), key=f"{SEED}-{number}", **FAULTS[fault])
            begun[fault] += 1
            time.sleep(dice.uniform(0.0, LATEST_KILL_S))
            there = [("agent", agent.process.pid)] if agent.process else []
            for folder in open_folders(agent.root):
                there += [(name, noted[0]) for name in ("keeper", "work") if (noted := folder.process(name))]
            victims = [each for each in there if dice.random() < 0.6]
            kill_all(*(pid for _, pid in victims))
            killed.update(name for name, _ in victims)
            time.sleep(0.1)  # until what is dead looks dead
            until(_over(agent, place), tend=lambda: clear(agent), what=f"{what} ({fault_id}), killed {victims}")
    finally:
        agent.stop()
        print(f"seed {SEED}: {dict(begun)}; killed {dict(killed)}")


def _over(agent: RunningAgent, place: Place) -> Callable[[], bool]:
    return lambda: not open_folders(agent.root) and not keepers_of(agent.root) and place.is_as_it_was()


def clear(agent: RunningAgent) -> None:
    """Where nobody lives who knows of the fault, the next agent ends it."""
    if not agent.is_running and not keepers_of(agent.root) and open_folders(agent.root):
        agent.stop()
        agent.start()
