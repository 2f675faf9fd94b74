"""The shop through a real agent: its control API finds the services, and a fault of the agent breaks one."""

from __future__ import annotations

import hashlib
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chaos.fault import measure_baseline, prove
from chaos.registry import fault_named
from chaos.shop.agent_file import TOKEN_FILE, agent_file
from tests.running_shop import RunningShop
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.target import Target, TargetSettings, open_target

TOKEN = "a-token-that-only-this-test-knows"


@pytest.fixture(scope="module")
def agent(shop: RunningShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """An agent in a process of its own, beside the shop."""
    folder = tmp_path_factory.mktemp("agent")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    content = agent_file(shop.data_dir, folder / "state", port=0, token_sha256=digest)
    (folder / "agent.yaml").write_text(yaml.safe_dump(content))
    assert stat.S_IMODE((folder / "state" / TOKEN_FILE).stat().st_mode) == 0o600
    assert shop.token not in (folder / "agent.yaml").read_text()
    command = [sys.executable, "-I", "-m", "agent", str(folder / "agent.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        until(lambda: select.select([process.stdout], [], [], 0)[0], what="the agent")
        address = process.stdout.readline().split("address=")[1].strip()
        target = open_target("agent", TargetSettings(url=f"http://{address}", token=TOKEN))
        try:
            yield target
        finally:
            target.close()
            process.terminate()


@pytest.mark.slow
def test_its_services_are_the_shops(agent: Target, shop: RunningShop) -> None:
    """The same names; the front door may not be broken; verbs are passed on, once for each key."""
    services = agent.services()
    assert set(services) == set(shop.target.services())
    assert {name for name, status in services.items() if not status.may_break} == {"web"}
    before = shop.target.status("cart").instance
    did = agent.act("cart", "restart", key="once")
    after = shop.target.status("cart").instance
    assert after != before
    assert agent.act("cart", "restart", key="once") == did
    assert shop.target.status("cart").instance == after


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hang", "kill"])
def test_a_fault_is_held_and_ended_by_the_agent(agent: Target, shop: RunningShop, name: str) -> None:
    """Its effect shows in the shop itself, and afterwards the shop is as it was."""
    fault = fault_named(name)
    before = measure_baseline(agent, "shipping")
    assert before.healthy
    with fault.inject(agent, "shipping", 60):
        assert prove(fault, agent, "shipping", before).proved
        assert shop.target.status("shipping").state == {"hang": "stopped", "kill": "exited"}[name]
        assert not shop.target.probe("shipping").ok
    until(lambda: shop.target.probe("shipping").ok, what="shipping")


def test_without_a_shop_the_way_to_start_one_is_named(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ChaosError, match="no shop runs in"):
        agent_file(tmp_path, tmp_path / "state", port=1, token_sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
