"""The fault `postgresql_lock`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import postgresql

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class PostgresqlLock:
    """A session holds a table locked, and every statement that needs the table waits.

    `table` is one of `postgresql_tables` of the agent's file; empty: the first. The server ends the session if it is
    left alone for longer than the fault.
    """

    name = "postgresql_lock"
    description = "another session holds a table of its database locked"
    arguments: Mapping[str, float | str] = MappingProxyType({"table": ""})

    lacks = staticmethod(postgresql.lacks)
    end = staticmethod(postgresql.end)
    remains = staticmethod(postgresql.remains)

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        return postgresql.plan(instance, seconds, arguments)

    def begin(self, record: Record) -> None:
        postgresql.begin(record, hold_s=0.0, pause_s=0.0)

    def effect(self, record: Record) -> str:
        return f"a session that wants to read {record['table']} waits" if postgresql.waits(record) else ""
