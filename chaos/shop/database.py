"""Each service's own SQLite file, traced by the stock DB-API instrumentation.

The journal is a roll-back journal, so a writer that holds the file keeps readers out too, as a locked
table would elsewhere; a statement waits `BUSY_TIMEOUT_S` and then fails with "database is locked".
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.dbapi import instrument_connection

BUSY_TIMEOUT_S = 1.5


class _NamedConnection(sqlite3.Connection):
    """A connection that knows its database's name, which the instrumentation puts on spans."""

    database: str


class Database:
    """One connection a thread; every statement is its own transaction unless several are sent together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SELECT. Raises sqlite3.OperationalError when the database stays locked."""
        cursor = self._connection().cursor()
        cursor.execute(sql, tuple(values))
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement and return the last row's id."""
        cursor = self._connection().cursor()
        cursor.execute(sql, tuple(values))
        return int(cursor.lastrowid or 0)

    def create(self, script: str) -> None:
        """Run the schema, untraced: it must be safe to run again."""
        with sqlite3.connect(self._path, timeout=10, isolation_level=None) as connection:
            connection.executescript("PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=OFF;" + script)
        connection.close()

    def _connection(self) -> Any:
        traced = getattr(self._local, "traced", None)
        if traced is None:
            plain = sqlite3.connect(
                self._path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                factory=_NamedConnection,
                check_same_thread=False,
            )
            plain.execute("PRAGMA synchronous=OFF")
            plain.database = self._path.stem
            traced = instrument_connection("shop.database", plain, "sqlite", {"database": "database"})
            self._local.traced = traced
        return traced
