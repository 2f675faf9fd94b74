"""One real store role for the tests in this folder; each test writes under names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles, loader_of
from watchkeeper.store.statements import Statements


@pytest.fixture(scope="session")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A running store."""
    folder: Path = tmp_path_factory.mktemp("store")
    with OwnRoles(folder) as own:
        own.start("store")
        yield own


@pytest.fixture(scope="session")
def loader(roles: OwnRoles) -> Statements:
    """The store's writer."""
    return loader_of(roles.config)
