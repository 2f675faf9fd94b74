"""The step `sql`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, field_validator
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from runbooks.placeholders import PLACEHOLDER
from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus
from watchkeeper.text import one_line

MOST_CHARACTERS: Final = 20_000
DIALECTS: Final = ("postgresql", "sqlite")
Statement = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
Value = str | int | float | bool | None


class SqlInputs(Inputs):
    """One statement on a database that the policy names. Values go in as `:name`, from `parameters`.

    `write`: the statement changes something; the policy must allow that for the database. `undo` takes it back.
    """

    database: Annotated[str, Field(pattern="^[a-z0-9_-]{1,64}$")]
    statement: Statement
    parameters: dict[str, Value] = Field(default_factory=dict)
    write: bool = False
    undo: Statement | None = None
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0

    @field_validator("statement", "undo")
    @classmethod
    def _takes_values_as_parameters(cls, statement: str | None) -> str | None:
        if statement and (found := PLACEHOLDER.search(statement)):
            raise ValueError(f"{found[0]} must not stand in a statement: write :name, and the value under parameters")
        return statement


class Sql(TypedStep[SqlInputs]):
    """Run one SQL statement: read only, unless both runbook and policy say otherwise.

    A statement that writes may have happened when its answer is lost: then a human is asked.
    """

    inputs = SqlInputs
    example: ClassVar = {
        "database": "orders",
        "statement": "SELECT count(*) FROM locks WHERE service = :service",
        "parameters": {"service": "{service}"},
    }

    def plan(self, given: SqlInputs, service: str, status: ServiceStatus | None) -> str:
        del service, status
        how = "write to" if given.write else "read from"
        return f"{how} the database {given.database}: {one_line(given.statement, 200)}"

    def repeats(self, given: SqlInputs) -> bool:
        return not given.write

    def run(self, call: Call[SqlInputs]) -> Done:
        rows, first = _execute(call, call.given.statement, write=call.given.write)
        outputs: dict[str, Any] = {"rows": rows}
        if isinstance(first, str | int | float | bool):
            outputs["value"] = first
        what = "changed" if call.given.write else "read"
        return Done(text=f"{what} {rows} rows of the database {call.given.database}", outputs=outputs)

    def undo_plan(self, given: SqlInputs, service: str) -> str:
        del service
        return f"write to the database {given.database}: {one_line(given.undo, 200)}" if given.undo else ""

    def undo(self, call: Call[SqlInputs]) -> str:
        if call.given.undo is None:
            return super().undo(call)
        rows, _ = _execute(call, call.given.undo, write=True)
        return f"changed {rows} rows of the database {call.given.database} back"

    def undo_repeats(self, given: SqlInputs) -> bool:
        return given.undo is None


def _execute(call: Call[SqlInputs], statement: str, *, write: bool) -> tuple[int, Any]:
    """Rows that were read or changed, and the first value."""
    name = call.given.database
    access = call.around.databases.get(name)
    if access is None:
        known = ", ".join(call.around.databases) or "none"
        raise RunbookError(f"{name} is none of `databases` in policy.yaml ({known}); add it there to allow it")
    if write and not access.write:
        raise RunbookError(f"the database {name} may only be read: databases.{name}.write in policy.yaml is not true")
    url = call.around.environment(access.url_env)
    began = False
    try:
        with _connected(url, call.given.timeout_s, write=write) as connection:
            began = True
            result = connection.execute(text(statement), dict(call.given.parameters))
            if not result.returns_rows:
                return max(result.rowcount, 0), None
            rows = result.fetchmany(10_000)
            return len(rows), (rows[0][0] if rows and len(rows[0]) else None)
    except DBAPIError as error:
        # Lost on the way, it may have happened; refused, it did not.
        lost = write and began and error.connection_invalidated
        raise RunbookError(f"the database {name}: {one_line(error.orig)}", retry=lost) from error
    except SQLAlchemyError as error:
        raise RunbookError(f"the database {name}: {one_line(error)}") from error


@contextmanager
def _connected(url: str, timeout_s: float, *, write: bool) -> Iterator[Connection]:
    """A connection of its own, in one transaction, read only unless it may write, ended after the time-out."""
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise RunbookError("the variable that the policy names holds no database's URL") from error
    dialect = place.get_backend_name()
    if dialect not in DIALECTS:
        raise RunbookError(f"a {dialect} database cannot be used; {' and '.join(DIALECTS)} can")
    if dialect == "postgresql":
        engine = create_engine(
            place.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={
                # Prepared: the server takes one statement then, so that none can end the read-only transaction.
                "prepare_threshold": 0,
                "connect_timeout": max(2, int(timeout_s)),
                "options": f"-c statement_timeout={int(timeout_s * 1000)}",
            },
        )
        engine = engine.execution_options(postgresql_readonly=not write)
    else:
        engine = create_engine(place, poolclass=NullPool, connect_args={"timeout": timeout_s})
    with engine.connect() as connection:
        if dialect == "postgresql":
            with connection.begin():
                yield connection
            return
        raw: Any = connection.connection.dbapi_connection
        if not write:
            raw.execute("PRAGMA query_only = ON")
        timer = threading.Timer(timeout_s, raw.interrupt)
        timer.start()
        try:
            with connection.begin():
                yield connection
        finally:
            timer.cancel()
            timer.join()
