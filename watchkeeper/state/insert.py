"""INSERT … ON CONFLICT, spelled the same way for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key is there; says whether it was new."""
    # Not by rowcount: PostgreSQL's driver does not count what an INSERT inserted.
    return connection.execute(_new(connection.dialect.name, table), dict(row)).first() is not None


def insert_all_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same columns, but for those whose key is there."""
    if rows:
        connection.execute(_all_new(connection.dialect.name, table), [dict(row) for row in rows])


def upsert(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or overwrite the one with its key."""
    upsert_many(connection, table, [row])


def upsert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same columns and different keys, or overwrite those with their keys."""
    if not rows:
        return
    connection.execute(_or_overwrite(connection.dialect.name, table, tuple(rows[0])), [dict(row) for row in rows])


# Building a statement costs more than running it; there are few, and in a storm each runs thousands of times.
@cache
def _new(dialect: str, table: Table) -> Any:
    return _insert(dialect, table).on_conflict_do_nothing().returning(next(iter(table.primary_key)))


@cache
def _all_new(dialect: str, table: Table) -> Any:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _or_overwrite(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    keys = [column.name for column in table.primary_key]
    statement = _insert(dialect, table)
    rest = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def _insert(dialect: str, table: Table) -> Any:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)
