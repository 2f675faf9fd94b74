"""Which version of the diagnosis' weights puts the named cause of an incident first: AC@1 by version."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, func, select

from watchkeeper.state.database import Database
from watchkeeper.state.insert import upsert_many
from watchkeeper.state.schema import diagnosis_verdicts as table


def record_verdicts(db: Database, right: Mapping[tuple[int, str], bool]) -> None:
    """Replace all verdicts by these: (version, incident) → whether the cause stands first. Version 0 is what ships."""
    rows = [
        {"version": version, "incident_id": name, "correct": int(found)} for (version, name), found in right.items()
    ]
    with db.write() as connection:
        connection.execute(delete(table))
        upsert_many(connection, table, rows)


def accuracy_by_version(db: Database) -> dict[int, tuple[int, int]]:
    """By version: how many causes stand first, of how many incidents with a named cause."""
    query = select(table.c.version, func.sum(table.c.correct), func.count()).group_by(table.c.version)
    with db.read() as connection:
        return {version: (int(right), int(judged)) for version, right, judged in connection.execute(query)}
