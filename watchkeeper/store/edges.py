"""Who calls whom: joins both sides of each call into `edges`, a closed window at a time.

A self-join in a view would see only the inserted block, while the two sides of a call arrive in different
requests; so this runs every few seconds over the windows that have closed. Each window has a deduplication
token of its own: running one again, after a crash or by two processes, changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from watchkeeper.store.schema import BUCKET_S

# How late a span may be after its end and still be counted: an exporter's batching and a request's way.
GRACE_S: Final = 3
# How much earlier than the caller's side the callee's side of a call may end.
EARLIER_S: Final = 30
# After a long absence, windows older than this stay without edges.
CATCH_UP_S: Final = 86400


class EdgeRefresh:
    """Keeps `edges` and `peers` up to date; call `run` every few seconds."""

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = database
        self._next: int | None = None

    def run(self, complete_until: float) -> int:
        """Join every window whose spans are all stored; returns how many had calls.

        Args:
            complete_until: Unix seconds; whatever was received before this is in the store.
        """
        closed = int(complete_until - GRACE_S) // BUCKET_S * BUCKET_S
        start = self._next if self._next is not None else self._resume(closed)
        if start >= closed:
            return 0
        rows = self._client.query(
            f"SELECT DISTINCT toUnixTimestamp(bucket) AS begin FROM {self._database}.links "
            f"WHERE side = 'client' AND {_between(start, closed)} ORDER BY begin"
        ).result_rows
        for (begin,) in rows:
            for statement in statements(self._database, int(begin)):
                self._client.command(statement)
            self._next = int(begin) + BUCKET_S
        self._next = closed
        return len(rows)

    def _resume(self, closed: int) -> int:
        """Where an earlier process stopped; its last window is done again, which its token makes harmless."""
        last = self._client.query(f"SELECT toUnixTimestamp(max(bucket)) FROM {self._database}.edges").result_rows
        return max(closed - CATCH_UP_S, int(last[0][0]))


def _between(low: int, high: int) -> str:
    return f"bucket >= toDateTime({low}, 'UTC') AND bucket < toDateTime({high}, 'UTC')"


def statements(database: str, begin: int) -> list[str]:
    """The INSERTs for the window that begins at `begin` (Unix seconds)."""
    end = begin + BUCKET_S
    clients = (
        f"SELECT bucket, key, service, peer, error, duration_ns FROM {database}.links "
        f"WHERE side = 'client' AND {_between(begin, end)}"
    )
    servers = (
        f"SELECT l.key AS key, any(l.service) AS server, max(l.duration_ns) AS server_ns FROM {database}.links AS l "
        f"WHERE l.side = 'server' AND {_between(begin - EARLIER_S, end + GRACE_S + BUCKET_S)} "
        f"AND l.key IN (SELECT key FROM ({clients})) GROUP BY l.key"
    )
    # An address that two services answered at tells nothing.
    peers = (
        f"SELECT p.peer AS peer, any(p.service) AS known FROM {database}.peers AS p GROUP BY p.peer "
        "HAVING uniqExact(p.service) = 1"
    )
    learn = (
        f"INSERT INTO {database}.peers (bucket, peer, service) SETTINGS insert_deduplication_token = 'peers:{begin}' "
        f"SELECT toDateTime({begin}, 'UTC'), c.peer, s.server FROM ({clients}) AS c INNER JOIN ({servers}) AS s "
        "ON c.key = s.key WHERE c.peer != '' GROUP BY c.peer, s.server"
    )
    join = (
        f"INSERT INTO {database}.edges (bucket, caller, callee, source, calls, errors, client_ns_sum, server_calls, "
        f"server_ns_sum) SETTINGS insert_deduplication_token = 'edges:{begin}' "
        "SELECT c.bucket AS at, c.service AS caller, "
        "multiIf(s.server != '', s.server, p.known != '', p.known, c.peer) AS callee, "
        "multiIf(s.server != '', 'span', p.known != '', 'peer', 'attribute') AS source, count(), "
        "sum(toUInt64(c.error)), sum(c.duration_ns), countIf(s.server != ''), sum(s.server_ns) "
        f"FROM ({clients}) AS c LEFT JOIN ({servers}) AS s ON c.key = s.key LEFT JOIN ({peers}) AS p ON c.peer = p.peer "
        "WHERE callee != '' AND callee != caller GROUP BY at, caller, callee, source"
    )
    return [learn, join]
