"""One real shop for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.target import Target
from tests.chaos.running_shop import running_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running shop under light load."""
    with running_shop(tmp_path_factory.mktemp("shop")) as target:
        yield target
