"""Real store and ingest roles for the tests in this folder; each test uses service names of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from bench.own_roles import OwnRoles
from tests.collectors.pages import Target
from tests.collectors.scrapes import TEXT
from tests.waiting import until


@pytest.fixture(scope="session")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A running store and ingest with short-lived segments and small requests."""
    with OwnRoles(tmp_path_factory.mktemp("ingest"), {"ingest": {"segment_seconds": 0.1, "max_request_mib": 1}}) as own:
        own.start("store", "ingest")
        yield own


@pytest.fixture(scope="session")
def http(roles: OwnRoles) -> Iterator[httpx.Client]:
    """A client of the ingest role's HTTP port."""
    with httpx.Client(base_url=roles.otlp_url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def rows(roles: OwnRoles) -> Callable[..., list[dict[str, object]]]:
    """Ask the store until it has as many rows as expected, or none came for a minute; what it has then."""

    def wait(sql: str, expected: int = 1, **parameters: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []

        def enough() -> bool:
            found[:] = roles.telemetry.query(sql, parameters).to_pylist()
            return len(found) >= expected

        with contextlib.suppress(AssertionError):  # the test says what is missing
            until(enough, moving=lambda: len(found), stalled_s=60)
        return found

    return wait


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that serves the text format."""
    made = Target()
    made.page = TEXT
    yield made
    made.close()
