"""Real roles for the fuzz of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.own_roles import OwnRoles


@pytest.fixture(scope="session")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A running store and ingest, with large segments, of which the store is quickly done."""
    changes = {"ingest": {"segment_seconds": 3, "max_request_mib": 2}}
    with OwnRoles(tmp_path_factory.mktemp("fuzz"), changes) as own:
        own.start("store", "ingest")
        yield own
