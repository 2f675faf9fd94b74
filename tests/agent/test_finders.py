"""The ways to find a service, each against the real thing where this machine can have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agent.finders.process import Process
from tests.bare_host import BareService
from watchkeeper.conformance import agent_finder_suite


@pytest.fixture
def service() -> Iterator[BareService]:
    service = BareService(workers=1)
    service.start()
    try:
        yield service
    finally:
        service.end()


class TestProcess(agent_finder_suite({"process": Process})):  # type: ignore[misc]
    @pytest.fixture(params=["pattern", "port", "both"])
    def settings(self, service: BareService, request: pytest.FixtureRequest) -> Mapping[str, Any]:
        without = {"pattern": "port", "port": "pattern"}.get(request.param)
        return {key: value for key, value in service.settings.items() if key != without}
