"""Whether rows are in the store already: SELECTs that count them by what identifies them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from watchkeeper.store.otlp import text_literal

# What identifies a row, by signal: of a span its ids in hex, of a log line its time (ns) and body, of a metric point
# its metric's name and time (ns).
_KEYS: Final = {
    "traces": "(TraceId, SpanId)",
    "logs": "(toUnixTimestamp64Nano(Timestamp), Body)",
    "metrics": "(MetricName, toUnixTimestamp64Nano(TimeUnix))",
}


def count_of(database: str, signal: str, keys: Iterable[tuple[str | int, str | int]], kind: str = "") -> str:
    """The SELECT that counts the rows with one of `keys`; `kind` is that of metric points."""
    table = f"otel_metrics_{kind}" if signal == "metrics" else f"otel_{signal}"
    literals = ", ".join(f"({_literal(first)}, {_literal(second)})" for first, second in keys)
    return f"SELECT count() FROM {database}.{table} WHERE {_KEYS[signal]} IN ({literals}) FORMAT TabSeparated"


def _literal(value: str | int) -> str:
    return text_literal(value) if isinstance(value, str) else str(value)
