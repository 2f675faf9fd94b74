"""Which schema this code writes, read without Alembic: importing that takes longer than most commands."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def known_revisions() -> frozenset[str]:
    """Every revision that this code can bring up to date: the numbers that the migrations' file names begin with."""
    return frozenset(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def newest_revision() -> str:
    """The revision of the newest migration: the number that its file's name begins with."""
    return max(known_revisions())
