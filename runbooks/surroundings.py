"""What steps reach beside the target: the telemetry store, the policy's hosts and databases, and secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from runbooks.policy import Policy
from runbooks.step import Burn, Level, Surroundings
from watchkeeper.config import environment
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window


def surroundings(
    policy: Policy,
    telemetry: Telemetry | None,
    notify: Callable[[str, str], None] | None = None,
    burn: Callable[[str, float], Burn | None] | None = None,
) -> Surroundings:
    """What a role's steps reach. Without telemetry, a step that asks for it fails and says so."""
    more: dict[str, Any] = {} if notify is None else {"notify": notify}
    more |= {} if burn is None else {"burn": burn}
    if telemetry is not None:
        more |= {"query": lambda sql: _rows(telemetry, sql), "level": lambda *asked: _level(telemetry, *asked)}
    return Surroundings(
        http_hosts=policy.http_hosts,
        databases=policy.databases,
        environment=lambda name: environment(name, "a step of a runbook"),
        **more,
    )


def _rows(telemetry: Telemetry, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in telemetry.query(sql).to_pylist()]


def _level(telemetry: Telemetry, service: str, window_s: float) -> Level | None:
    """All operations of a service together; its 95th percentile is that of the slowest operation."""
    end = datetime.now(UTC)
    rows = telemetry.red(Window(start=end - timedelta(seconds=window_s), end=end)).to_pylist()
    own = [row for row in rows if row["service"] == service]
    requests = sum(row["calls"] for row in own)
    if not requests:
        return None
    return Level(
        requests=requests,
        error_share=sum(row["errors"] for row in own) / requests,
        p95_ms=max(row["p95_ms"] for row in own),
    )
