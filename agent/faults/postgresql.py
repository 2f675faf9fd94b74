"""What faults of a PostgreSQL database share. The client library is loaded where it is used: it is large."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import choice, listed
from agent.holders import marked
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.fault import Record
    from agent.instance import Instance

CONNECT_WITHIN_S: Final = 3
PROBE_MS: Final = 100


def lacks(instance: Instance) -> str:
    """Why nothing can be locked, in words; empty: it can."""
    missing = [key for key in ("postgresql_url", "postgresql_tables") if not listed(instance.settings.get(key, ""))]
    if missing:
        return f"the agent's file names no database and tables that may be locked; set {' and '.join(missing)}"
    return ""


def plan(instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
    """The record. Raises AgentError for a table that the agent's file does not list."""
    tables = listed(instance.settings["postgresql_tables"])
    return {
        "mark": marked.new_mark(),
        "url": instance.settings["postgresql_url"],
        "table": choice(arguments, "table", *tables) if arguments["table"] else tables[0],
        "until": time.time() + seconds,
    }


def begin(record: Record, *, hold_s: float, pause_s: float) -> None:
    """Start the session; see agent.holders.postgresql_session."""
    marked.start(
        "postgresql_session",
        record["mark"],
        seconds=record["until"] - time.time(),
        application=record["mark"],
        url=record["url"],
        table=record["table"],
        hold_s=hold_s,
        pause_s=pause_s,
    )


def waits(record: Record) -> bool:
    """Whether another session that wants to read the table has to wait. Raises AgentError."""
    import psycopg
    from psycopg import sql

    table = sql.Identifier(*str(record["table"]).split("."))
    options = f"-c lock_timeout={PROBE_MS}"
    try:
        with psycopg.connect(record["url"], connect_timeout=CONNECT_WITHIN_S, options=options) as connection:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table))
    except psycopg.errors.LockNotAvailable:
        return True
    except psycopg.Error as error:
        raise AgentError(f"{record['table']} cannot be asked for: {error}") from error
    return False


def end(record: Record) -> None:
    """End the process that holds the session, and the session where the server still has it."""
    marked.end(record["mark"])
    if _sessions(record, "SELECT pg_terminate_backend(pid)"):
        until = time.monotonic() + 2.0
        while _sessions(record, "SELECT pid") and time.monotonic() < until:
            time.sleep(0.05)


def remains(record: Record) -> tuple[str, ...]:
    """The process and the session."""
    sessions = _sessions(record, "SELECT pid")
    return marked.remaining(record["mark"]) + tuple(f"session {pid} of the database" for pid in sessions)


def _sessions(record: Record, select: str) -> list[int]:
    """What the server says of our sessions; nothing where it does not run: then it has none."""
    import psycopg

    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(record["url"], connect_timeout=CONNECT_WITHIN_S, autocommit=True) as connection,
    ):
        rows = connection.execute(f"{select} FROM pg_stat_activity WHERE application_name = %s", (record["mark"],))
        return [int(row[0]) for row in rows]
    return []
