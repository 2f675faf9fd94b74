"""The state database: opened once a process, migrated on opening, shared by threads and roles."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from watchkeeper.config import Config
from watchkeeper.errors import DatabaseError, StateError
from watchkeeper.state.revision import MIGRATIONS, newest_revision

MIGRATION_LOCK: Final = 8_274_001  # any number that nobody else locks on this database
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(at: datetime) -> int:
    """An aware time as Unix microseconds."""
    return (at - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Unix microseconds as an aware UTC time."""
    return EPOCH + timedelta(microseconds=micros)


class Database:
    """SQLite in WAL mode, or PostgreSQL. `write` is one transaction that others wait for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, where: Config | str) -> Self:
        """Open, and bring the schema up to date; roles that start together wait for each other.

        Raises:
            StateError: cannot be opened or migrated; says what the database said.
        """
        url = make_url(where.state_url if isinstance(where, Config) else where)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        try:
            if url.get_backend_name() == "sqlite":
                engine = _sqlite(url)
            else:
                engine = create_engine(url, pool_pre_ping=True, pool_size=8, isolation_level="READ COMMITTED")
            with _alone(engine), engine.begin() as connection:
                _migrate(connection)
        except (SQLAlchemyError, OSError) as error:
            shown = url.render_as_string(hide_password=True)
            raise StateError(f"the state database {shown} cannot be opened: {error}") from error
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent read.

        Raises:
            DatabaseError: the database failed; says what it said.
        """
        with self._failing_clearly(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block.

        On SQLite it takes the write lock at once: a transaction that reads first and writes later would
        otherwise fail when somebody else wrote in between.

        Raises:
            DatabaseError: the database failed, and nothing was written; says what it said.
        """
        with self._failing_clearly(), self.engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            where = self.engine.url.render_as_string(hide_password=True)
            raise DatabaseError(f"the state database {where} failed: {error.orig}", retry=True) from error

    def one_at_a_time(self, connection: Connection, key: int) -> None:
        """Wait until no other transaction holds `key`; held until this transaction ends."""
        if not self.is_sqlite:  # there, whoever writes is alone already
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def close(self) -> None:
        self.engine.dispose()


def _sqlite(url: Any) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # The driver must not open transactions of its own: `write` says when one begins.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Let one process migrate at a time."""
    if engine.dialect.name == "sqlite":
        name = engine.url.database
        if not name or name == ":memory:":
            yield
            return
        with Path(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})


def _migrate(connection: Connection) -> None:
    """Bring the schema up to date. Alembic is imported only where there is something to do."""
    if _stored_revision(connection) == newest_revision():
        return
    from alembic import command
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revisions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    return str(revisions[0]) if len(revisions) == 1 else None
