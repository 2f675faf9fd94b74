"""What one OTLP request may become in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchkeeper.config import Config

# Attributes, events, links, points, metrics, scopes, ... of one request. Each takes two bytes on the wire at least,
# and some fifty in memory: a small body must not become a huge one.
MOST_ELEMENTS: Final = 1_000_000
# Values within array and key-value attributes are turned into JSON text one by one, which is expensive.
MOST_NESTED_VALUES: Final = 100_000
# The store keeps a partition for each day.
MOST_DAYS: Final = 100
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may become.

    Args:
        rows: spans, log records or metric points.
        expanded_bytes: all its rows, with the resource's and the scope's attributes repeated on each.
        value_bytes: one text: a name, an attribute's value, a log's body. A longer one is shortened.
        retention_s: an older row would be dropped by the store, so it is rejected.
        ahead_s: a row whose time is further ahead is rejected.
    """

    rows: int = 200_000
    expanded_bytes: int = 128 << 20
    value_bytes: int = 64 << 10
    retention_s: float = 7 * DAY_S
    ahead_s: float = DAY_S

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The limits that a configuration sets."""
        return cls(
            rows=config.ingest.max_rows,
            expanded_bytes=config.ingest.max_expanded_mib << 20,
            value_bytes=config.ingest.max_value_kib << 10,
            retention_s=config.store.retention_days * DAY_S,
            ahead_s=config.ingest.max_ahead_hours * 3600,
        )
