"""Agent, keeper, the process that breaks and whoever asked are killed at random: nothing broken stays.

`WATCHKEEPER_KILL_ROUNDS=200 pytest tests/agent/test_survival.py` is the long run; WATCHKEEPER_KILL_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.processes import seen
from agent.records import FaultFolder, open_folders
from tests.bare_host import BareService, keepers_of
from tests.running_agent import TOKEN, RunningAgent, allowed, kill_all
from tests.waiting import until

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("WATCHKEEPER_KILL_ROUNDS", "40"))
SEED = int(os.environ.get("WATCHKEEPER_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
AT_ONCE = 4  # faults, each in a service of its own
LONGEST_FAULT_S = 1.5  # when somebody survives, the fault ends within; when all die, with the next agent
LATEST_KILL_S = 1.6
EMPTY = ("faults", "leases")  # folders of the agent's state, when all is over
PLAYERS = ("injector", "agent", "keeper", "work")
# Asks for a fault and ends it a second later, unless it is killed before.
INJECTOR = """
import http.client, json, sys, time
host, token, service, fault, seconds, key = sys.argv[1:]
def ask(method, path, body=None):
    connection = http.client.HTTPConnection(host, timeout=30)
    headers = {"Authorization": "Bearer " + token, "Idempotency-Key": key}
    connection.request(method, path, body and json.dumps(body), headers)
    return json.load(connection.getresponse())
begun = ask("POST", "/faults", {"service": service, "fault": fault, "seconds": float(seconds)})
time.sleep(1)
ask("DELETE", "/faults/" + begun["id"])
"""


@pytest.fixture
def services() -> Iterator[list[BareService]]:
    services = [BareService(workers=1, name=f"orders{number}") for number in range(AT_ONCE)]
    try:
        for service in services:
            service.start()
        yield services
    finally:
        for service in services:
            service.end()


def test_nothing_broken_stays_whoever_is_killed(services: list[BareService], tmp_path: Path) -> None:
    """After each wave every service answers, all its processes run, no keeper is left, and no record."""
    dice, killed = random.Random(SEED), Counter[str]()
    file = {name: section for service in services for name, section in allowed(service).items()}
    agent = RunningAgent(tmp_path, file, bounds={"concurrent": AT_ONCE})
    try:
        for wave in range(-(-ROUNDS // AT_ONCE)):
            if not agent.is_running:
                agent.stop()
                agent.start()
            until(lambda: not open_folders(agent.root), what="a host without faults")
            victims = play(agent, services, dice, wave)
            killed.update(victims)
            what = f"the end of wave {wave} of seed {SEED}, of which {', '.join(victims)} were killed"
            if not all(somebody_holds(agent, folder) for folder in open_folders(agent.root)):
                agent.stop()  # agent, keeper and work of one fault are dead: the next agent ends it
                agent.start()
            until(lambda: all(is_well(service) for service in services), what=what)
            until(
                lambda: not open_folders(agent.root) and not keepers_of(agent.root),
                tend=lambda: clear(agent),
                what=what,
            )
        agent.stop()
        until(lambda: not keepers_of(agent.root), what="the end of the keepers")
        left = sorted(path.relative_to(agent.root) for path in agent.root.rglob("*"))
        assert {path.parts[0] for path in left} <= {"agent.lock", "audit.jsonl", "keys.jsonl", "ended", *EMPTY}
        assert not [path for path in left if path.parts[0] in EMPTY and len(path.parts) > 1]
        assert not [path for path in left if path.name.startswith(".")]
    finally:
        agent.stop()
        print(f"seed {SEED}: {ROUNDS} faults; killed {dict(killed)}")


def play(agent: RunningAgent, services: list[BareService], dice: random.Random, wave: int) -> list[str]:
    """Begin a fault in each service, wait for a random time, and kill some of all that are there then: returns whom."""
    host = agent.url.removeprefix("http://")
    injectors = []
    for service in services:
        fault, seconds = dice.choice(("hang", "kill")), dice.uniform(0.2, LONGEST_FAULT_S)
        asked = [host, TOKEN, service.name, fault, str(seconds), f"{SEED}-{wave}-{service.name}"]
        command = [sys.executable, "-I", "-S", "-c", INJECTOR, *asked]
        injectors.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    time.sleep(dice.uniform(0, LATEST_KILL_S))
    there = [("injector", injector.pid) for injector in injectors]
    for folder in open_folders(agent.root):
        there += [(name, noted[0]) for name in ("keeper", "work") if (noted := folder.process(name))]
    assert agent.process is not None
    victims = [each for each in (("agent", agent.process.pid), *there) if dice.random() < 0.5]
    kill_all(*(pid for _, pid in victims))
    for injector in injectors:
        injector.kill()
        injector.wait()
    until(lambda: not any(seen(pid) for _, pid in victims), what="the death of the victims")
    if ("agent", agent.process.pid) in victims:
        agent.process.wait()  # its main thread is gone before its others are, and only then it counts as ended
    return [name for name, _ in victims]


def somebody_holds(agent: RunningAgent, folder: FaultFolder) -> bool:
    """Whether anybody lives who knows of a fault: then it must end without a new agent."""
    return agent.is_running or bool(keepers_of(folder.path))


def clear(agent: RunningAgent) -> None:
    """What was put back and only not filed away yet, by somebody who was killed, is left to the next agent."""
    if not agent.is_running and not keepers_of(agent.root):
        agent.stop()
        agent.start()


def is_well(service: BareService) -> bool:
    """Whether it answers, with every process that it had."""
    return len(service.processes()) == 2 and all(service.answers() for _ in range(4))
