"""The state database: opened once a process, migrated on opening, shared by threads and roles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from watchkeeper.config import Config
from watchkeeper.errors import DatabaseError, StateError
from watchkeeper.state.revision import MIGRATIONS, known_revisions, newest_revision
from watchkeeper.state.sqlite_file import DAMAGE, Use, newer, opening, primary

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

    def __init__(self, engine: Engine, use: Use | None = None) -> None:
        self.engine = engine
        self._use = use
        self.is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, where: Config | str) -> Self:
        """Open, and bring the schema up to date; roles that start together wait for each other.

        Raises:
            StateError: cannot be opened or migrated; with what the database reported.
        """
        url = make_url(where.state_url if isinstance(where, Config) else where)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        shown = url.render_as_string(hide_password=True)
        try:
            if url.get_backend_name() == "sqlite":
                engine = _sqlite(url)
            else:
                engine = create_engine(url, pool_pre_ping=True, pool_size=8, isolation_level="READ COMMITTED")
            with _alone(engine) as use, engine.begin() as connection:
                _migrate(connection, shown)
        except (SQLAlchemyError, OSError) as error:
            raise StateError(f"the state database {shown} cannot be opened: {_plain(error)}") from error
        return cls(engine, use)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent read.

        Raises:
            DatabaseError: the database failed; with what it reported.
        """
        with self._failing_clearly(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block.

        On SQLite it takes the write lock at once: a transaction that reads first and writes later would
        otherwise fail when somebody else wrote in between.

        Raises:
            DatabaseError: the database failed, and nothing was written; with what it reported.
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
            raise DatabaseError(f"the state database {where} failed: {_plain(error)}", retry=True) from error

    def one_at_a_time(self, connection: Connection, key: int) -> None:
        """Wait until no other transaction holds `key`; held until this transaction ends."""
        if not self.is_sqlite:  # there, whoever writes is alone already
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def close(self) -> None:
        self.engine.dispose()
        if self._use:
            self._use.close()


def _sqlite(url: Any) -> Engine:
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
def _alone(engine: Engine) -> Iterator[Use | None]:
    """Let one process migrate at a time; of a file, the share in it that is held until the database is closed."""
    if engine.dialect.name == "sqlite":
        name = engine.url.database
        if not name or name == ":memory:":
            yield None
            return
        path = Path(name)
        with opening(path):
            if not path.exists():  # its owner's alone from the first byte on; the files beside it get its mode
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            use = Use(path)
            use.share()
            try:
                yield use
            except BaseException:
                use.close()
                raise
        return
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            yield None
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})


def _plain(error: BaseException) -> str:
    """What the database reported; and of a damaged file, what to do."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if primary(cause) in DAMAGE:
        return (
            f"{cause}. The file is damaged: stop every role, then start again (`watchkeeper up`), which keeps the file "
            "and puts the newest backup in its place"
        )
    return str(cause)


def _migrate(connection: Connection, shown: str) -> None:
    """Bring the schema up to date. Alembic is imported only where there is something to do."""
    stored = _stored_revision(connection)
    if stored == newest_revision():
        return
    if stored is not None and stored not in known_revisions():
        raise StateError(f"the state database {shown} cannot be opened: {newer(stored)}. Use that version, or newer.")
    upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revisions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    return str(revisions[0]) if len(revisions) == 1 else None
