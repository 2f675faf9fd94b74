"""Faults of an agent on a system of stock programs: nginx, PostgreSQL, Redis and Node services.

Nothing was written for the agent in them: it finds the programs by their command lines, and callers are led through its
proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from agent.proxy.running import end, ports
from chaos.foreign.agent_file import PROBES, agent_file
from chaos.foreign.programs import find
from chaos.foreign.system import Library
from chaos.foreign.users import Users
from tests.agent.trials import of_our_faults
from tests.running_agent import RunningAgent
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port

RATE: Final = 4.0  # requests a second, through every program
HELD_S: Final = (6.0, 25.0, 100.0)
# Fault, service, arguments: eighteen kinds, each where it means something.
TRIED: Final[tuple[tuple[str, str, dict[str, float | str]], ...]] = (
    ("kill", "readers", {}),
    ("hang", "catalogue", {}),
    ("crash_loop", "recommend", {"every_s": 0.5}),
    ("cpu", "desk", {"percent": 30.0}),
    ("memory", "lending", {"mb": 64.0}),
    ("disk_full", "postgresql", {"mb": 50.0}),
    ("latency", "catalogue", {"delay_ms": 400.0}),
    ("jitter", "readers", {"jitter_ms": 400.0}),
    ("loss", "postgresql", {"percent": 50.0}),
    ("reset", "lending", {"percent": 50.0}),
    ("bandwidth", "catalogue", {"kilobytes_per_second": 2.0}),
    ("partition", "redis", {"how": "drop"}),
    ("http_errors", "recommend", {"percent": 100.0}),
    ("dependency_down", "lending", {"dependency": "postgresql"}),
    ("redis_full", "redis", {}),
    ("postgresql_lock", "postgresql", {"table": "titles"}),
    ("postgresql_slow", "catalogue", {"table": "titles"}),
    ("command", "catalogue", {"command": "bad_deploy"}),
)


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    try:
        programs = find()
    except ChaosError as error:
        pytest.skip(error.message)
    with Library(programs, "http://127.0.0.1:9", free_port) as running, Users(running.url, RATE, seed=4):
        yield running


@pytest.fixture(scope="module")
def agent_and_processes(
    library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningAgent, Callable[[], list[str]]]]:
    """The agent, and what lists the processes of its faults."""
    folder = tmp_path_factory.mktemp("agent")
    written = agent_file(library, folder, port=0, token_sha256="0" * 64, free_port=free_port)
    services: dict[str, Any] = dict(written.content["services"])
    running = RunningAgent(folder, services)
    with of_our_faults() as listed:
        running.start()
        until(lambda: set(written.proxies.values()) <= set(ports()), what="the proxies")
        written.lead_callers(library)
        yield running, listed
        written.lead_callers_straight(library)
        running.stop()
    end(list(written.proxies.values()))


def is_well(agent: RunningAgent, service: str) -> bool:
    """Whether it runs, and answers the request that its callers send, where it takes one."""
    rows = agent.good("GET", "/services")
    (row,) = [each for each in rows if each["service"] == service]
    if row["state"] != "running":
        return False
    return service not in PROBES or agent.good("POST", f"/services/{service}/probe", {})["status"] == 200


def held_to_its_end(agent: RunningAgent, service: str, fault: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The last state of a fault that ended by itself and took effect: on a busy machine it has to last longer."""
    for seconds in HELD_S:
        state = agent.ended(agent.begin(fault, seconds, service=service, **arguments))
        if state["effect_at"]:
            return state
    pytest.fail(f"{fault} of {service} took no effect in {HELD_S[-1]:g} s")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(TRIED)), ids=[each[0] for each in TRIED])
def test_it_takes_effect_and_leaves_nothing(
    library: Library, agent_and_processes: tuple[RunningAgent, Callable[[], list[str]]], number: int
) -> None:
    """Its effect shows; it ends; no process, no rule and no file is left, and the service is well again.

    Every other one is told to end, the rest end by themselves.
    """
    agent, processes = agent_and_processes
    fault, service, arguments = TRIED[number]
    until(lambda: is_well(agent, service), what=f"{service} before the fault")
    if number % 2:
        state = held_to_its_end(agent, service, fault, arguments)
    else:
        fault_id = agent.begin(fault, service=service, **arguments)
        try:
            assert agent.with_effect(fault_id)["effect"]
        finally:
            agent.good("DELETE", f"/faults/{fault_id}")
        state = agent.ended(fault_id)
    assert (state["remains"], state["error"]) == ([], "")
    assert state["reason"] == ("its time is over" if number % 2 else "platform asked")
    until(lambda: is_well(agent, service), what=f"{service} after the fault")
    assert until(lambda: processes() == [], what="the end of every process")
    assert list((agent.root / "faults").iterdir()) == []
