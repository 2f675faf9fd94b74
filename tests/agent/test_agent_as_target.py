"""A real agent is a target like any other: it passes their suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.targets.agent import Agent
from tests.bare_host import BareService
from tests.running_agent import TOKEN, RunningAgent, allowed
from watchkeeper.conformance import target_suite
from watchkeeper.target import TargetSettings


class TestAgent(target_suite({"agent": Agent})):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetSettings]:
        service = BareService()
        agent = RunningAgent(tmp_path_factory.mktemp("agent"), allowed(service))
        try:
            service.start()
            agent.start()
            yield TargetSettings(url=agent.url, token=TOKEN)
        finally:
            agent.stop()
            service.end()


def test_a_fault_through_the_target(tmp_path: Path) -> None:
    """Begun once for a key, seen to work, and ended."""
    from tests.waiting import until

    service = BareService()
    agent = RunningAgent(tmp_path, allowed(service))
    try:
        service.start()
        agent.start()
        target = Agent(TargetSettings(url=agent.url, token=TOKEN))
        fault_id = target.begin_fault("orders", "hang", seconds=300, key="one")
        assert target.begin_fault("orders", "hang", seconds=300, key="one") == fault_id
        until(lambda: target.fault(fault_id).effect, what="the effect")
        assert not target.probe("orders", timeout_s=0.2).ok
        target.end_fault(fault_id)
        until(lambda: target.fault(fault_id).state == "ended", what="the end")
        assert target.probe("orders", timeout_s=20).ok
        target.close()
    finally:
        agent.stop()
        service.end()
