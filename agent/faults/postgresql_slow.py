"""The fault `postgresql_slow`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import postgresql
from agent.faults.asked import number

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class PostgresqlSlow:
    """Statements on a table are slow: a session locks it for `hold_ms`, again and again, with `pause_ms` between.

    `table` is one of `postgresql_tables` of the agent's file; empty: the first.
    """

    name = "postgresql_slow"
    description = "statements on a table of its database are slow"
    arguments: Mapping[str, float | str] = MappingProxyType({"table": "", "hold_ms": 400.0, "pause_ms": 50.0})

    lacks = staticmethod(postgresql.lacks)
    end = staticmethod(postgresql.end)
    remains = staticmethod(postgresql.remains)

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        hold_s = number(arguments, "hold_ms", 10.0, 60000.0) / 1000.0
        pause_s = number(arguments, "pause_ms", 1.0, 60000.0) / 1000.0
        return {**postgresql.plan(instance, seconds, arguments), "hold_s": hold_s, "pause_s": pause_s}

    def begin(self, record: Record) -> None:
        postgresql.begin(record, hold_s=record["hold_s"], pause_s=record["pause_s"])

    def effect(self, record: Record) -> str:
        if not postgresql.waits(record):
            return ""
        return f"a session that wants to read {record['table']} waits up to {record['hold_s'] * 1000:.0f} ms"
