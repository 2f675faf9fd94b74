"""One real store role for the tests in this folder that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles

SMALLEST_MEMORY_MIB = 256


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A running store with as little memory as the configuration allows."""
    folder: Path = tmp_path_factory.mktemp("small-store")
    with OwnRoles(folder, {"store": {"memory_mib": SMALLEST_MEMORY_MIB}}) as own:
        own.start("store")
        yield own
