"""One real shop for the tests of this folder: started once, without a telemetry receiver, on free ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running_shop import RunningShop, start_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A running shop under light load."""
    with start_shop(tmp_path_factory.mktemp("shop")) as running:
        yield running
