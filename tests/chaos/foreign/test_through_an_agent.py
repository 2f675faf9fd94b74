"""The foreign system broken through an agent by the platform's faults: each takes effect, ends, and leaves nothing."""

from __future__ import annotations

import hashlib
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from agent.proxy.running import end as end_proxies
from agent.proxy.running import ports
from chaos.fault import measure_baseline, prove, why_not
from chaos.foreign.agent_file import agent_file
from chaos.foreign.programs import find
from chaos.foreign.system import Library
from chaos.foreign.users import Users
from chaos.registry import fault_named
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port
from watchkeeper.target import Target, TargetSettings, open_target

TOKEN = "a-token-that-only-this-test-knows"
RATE = 5.0
BOUND_S = 90.0
# Fault and service: one of each way from the platform's fault to the agent's; tests/agent has the agent's own kinds.
CASES = (
    ("hang", "readers"),
    ("bad_deploy", "lending"),
    ("cpu_hog", "recommend"),
    ("latency", "catalogue"),
    ("db_lock", "lending"),
    ("dependency_down", "recommend"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The system, and the agent beside it."""

    library: Library
    target: Target
    url: str

    def held(self) -> list[dict[str, object]]:
        """Every fault that the agent knows."""
        rows: list[dict[str, object]] = httpx.get(
            f"{self.url}/faults", headers={"Authorization": f"Bearer {TOKEN}"}
        ).json()
        return rows


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    try:
        programs = find()
    except ChaosError as error:
        pytest.skip(error.message)
    folder: Path = tmp_path_factory.mktemp("agent")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    with Library(programs, "http://127.0.0.1:9", free_port, restarts=False) as library:
        file = agent_file(library, folder / "state", port=0, token_sha256=digest, free_port=free_port)
        (folder / "agent.yaml").write_text(yaml.safe_dump(dict(file.content)))
        command = [sys.executable, "-I", "-m", "agent", str(folder / "agent.yaml")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            until(lambda: select.select([process.stdout], [], [], 0)[0], what="the agent")
            url = f"http://{process.stdout.readline().split('address=')[1].strip()}"
            target = open_target("agent", TargetSettings(url=url, token=TOKEN))
            until(lambda: set(file.proxies.values()) <= set(ports()), what="the proxies")
            file.lead_callers(library)
            try:
                with Users(library.url, RATE, seed=4):
                    yield Reached(library=library, target=target, url=url)
            finally:
                target.close()
                process.terminate()
                process.wait()
                end_proxies(list(file.proxies.values()))  # they outlive the agent


@pytest.mark.slow
@pytest.mark.parametrize(("name", "service"), CASES)
def test_it_takes_effect_ends_and_leaves_nothing(reached: Reached, name: str, service: str) -> None:
    """Proved on the host, or by a failed request, while it holds; then the service answers and nothing remains."""
    fault, target = fault_named(name), reached.target
    # The agent starts a proxy that died again within a second or two: what it says then is true, and passes.
    until(lambda: not why_not(fault, target.status(service)), what=f"{service} that can be broken by {name}")
    until(lambda: measure_baseline(target, service).healthy, what=f"{service}, well before")
    before = measure_baseline(target, service)
    with fault.inject(target, service, BOUND_S):
        effect = prove(fault, target, service, before)
    assert effect.proved, effect.detail
    assert bool(effect.dependency) == (name == "dependency_down")
    until(lambda: measure_baseline(target, service).healthy, what=f"{service}, well again")
    held = reached.held()
    assert [(row["state"], row["remains"]) for row in held] == [("ended", [])] * len(held)
