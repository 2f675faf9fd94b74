"""An empty state database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database of each kind is."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """An empty state database of each kind."""
    database = Database.open(url)
    with database.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield database
    database.close()
