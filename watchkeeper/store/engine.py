"""The embedded engine: chDB on one directory, with a pool of connections for readers and one for the writer.

A connection runs one statement at a time, so a long query holds up only itself. Readers' connections are
read-only, which also takes `file()`, `url()` and every other way out of the engine away from them.
"""

from __future__ import annotations

import os
import queue
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from watchkeeper.errors import StoreError
from watchkeeper.store.schema import statements

LONGEST_READ_S: Final = 30  # a page's reader has given up by then
_CODE: Final = re.compile(r"Code: (\d+)")
_INPUT: Final = re.compile(r"FROM input\('((?:[^'\\]|\\.)*)'\)")
_FORMAT: Final = re.compile(r"\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE)


_KILL: Final = re.compile(r"\s*KILL\s+QUERY\b", re.IGNORECASE)


def _import_chdb() -> Any:
    """chDB without pyarrow and pandas, which it imports if it can: 70 MB that this role never uses."""
    unwanted = [name for name in ("pyarrow", "pandas") if name not in sys.modules]
    for name in unwanted:
        sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import chdb
    finally:
        for name in unwanted:
            del sys.modules[name]
    return chdb


class QueryError(StoreError):
    """The engine rejected a statement; `code` is ClickHouse's number for why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        match = _CODE.search(message)
        self.code = int(match.group(1)) if match else 1002


class Engine:
    """chDB, opened once a process on `folder`; threads may share it."""

    def __init__(self, folder: Path, *, database: str, retention_days: float, readers: int, memory_mib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inbox = folder / "inbox"
        self._inbox.mkdir(exist_ok=True)
        for leftover in self._inbox.iterdir():  # bodies of inserts that a kill interrupted: they will be sent again
            leftover.unlink()
        # The engine keeps a schema cache in the working directory: let that be its own.
        os.chdir(folder)
        path = str(folder / "data")
        chdb = _import_chdb()
        # All statements together share one allowance: the engine stops one of them with code 241 rather than grow.
        total = f"max_memory_usage_for_user={memory_mib << 20}"
        self._writer = chdb.connect(f"{path}?max_threads=2&{total}")
        self._writing = threading.Lock()
        for statement in statements(database, retention_days):
            self._run(self._writer, statement, "Null", {})
        self._run(self._writer, f"USE {database}", "Null", {})
        per_query = (memory_mib << 20) // 3
        limits = f"readonly=1&max_execution_time={LONGEST_READ_S}&max_memory_usage={per_query}&max_threads=2&{total}"
        self._killer = chdb.connect(path)
        self._killing = threading.Lock()
        self._readers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(readers):
            connection = chdb.connect(f"{path}?{limits}")
            self._run(connection, f"USE {database}", "Null", {})
            self._readers.put(connection)

    def read(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> bytes:
        """Run a query on a read-only connection; waits while all are busy."""
        with self._reader() as connection:
            return self._run(connection, sql, output_format, parameters)

    def write(self, sql: str, body: Iterable[bytes], parameters: Mapping[str, str]) -> bytes:
        """Run a statement that changes data; `body` is what `FORMAT …` at its end announces.

        An `INSERT … SELECT … FROM input('…')` reads the body through a file, since the embedded engine
        takes data beside a statement only for a plain INSERT.
        """
        if not _INPUT.search(sql):
            data = b"".join(body)
            with self._writing:
                if data:
                    return self._insert(*_without_format(sql), data)
                return self._run(self._writer, sql, "TabSeparated", parameters)
        sql, input_format = _without_format(sql)
        path = self._inbox / f"{threading.get_ident()}-{time.monotonic_ns()}"
        try:
            with path.open("wb") as file:
                file.writelines(body)
            reading = _INPUT.sub(lambda m: f"FROM file('{path}', '{input_format}', '{m.group(1)}')", sql)
            with self._writing:
                return self._run(self._writer, reading, "TabSeparated", parameters)
        finally:
            path.unlink(missing_ok=True)

    def kill(self, sql: str) -> bytes:
        """Run a `KILL QUERY …`; does not wait for what it is to end."""
        with self._killing:
            return self._run(self._killer, sql, "TabSeparated", {})

    def close(self) -> None:
        """Wait for what is running, then close every connection."""
        with self._writing:
            while not self._readers.empty():
                self._readers.get().close()
            self._killer.close()
            self._writer.close()

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        connection = self._readers.get()
        try:
            yield connection
        finally:
            self._readers.put(connection)

    def _insert(self, sql: str, input_format: str, body: bytes) -> bytes:
        try:
            inserter = self._writer.send_insert(sql, input_format)
            inserter.append(body)
            inserter.finish()
        except RuntimeError as error:
            raise QueryError(str(error)) from error
        return b""

    @staticmethod
    def _run(connection: Any, sql: str, output_format: str, parameters: Mapping[str, str]) -> bytes:
        try:
            result = connection._conn.query(sql, output_format, params=dict(parameters))  # noqa: SLF001 - query() would decode binary formats
        except RuntimeError as error:
            raise QueryError(str(error)) from error
        return bytes(result.bytes())


def is_kill(sql: str) -> bool:
    """Whether a statement stops another one."""
    return _KILL.match(sql) is not None


def _without_format(sql: str) -> tuple[str, str]:
    announced = _FORMAT.search(sql)
    if not announced:
        raise QueryError("Code: 62. DB::Exception: a body was sent, but the statement ends in no FORMAT")
    return sql[: announced.start()], announced.group(1)
