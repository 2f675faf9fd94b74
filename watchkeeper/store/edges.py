"""Who calls whom: joins both sides of each call into `edges`, a closed window at a time.

A self-join in a view would see only the inserted block, while the two sides of a call arrive in different
requests; so this runs every few seconds over the windows that have closed. Each window has a deduplication
token of its own: running one again, after a crash or by two processes, changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from watchkeeper.store.schema import BUCKET_S

# Spans arrive this long after they end, at the latest, to be counted: a request's way through batching,
# the ingest log and the loader.
GRACE_S: Final = 4
# How far apart the ends of the two sides of one call may be.
APART_S: Final = 90
CATCH_UP_S: Final = 300


class EdgeRefresh:
    """Keeps `edges` and `peers` up to date; call `run` every few seconds."""

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = database
        self._next: int | None = None

    def run(self, now: float) -> int:
        """Join every window that has closed by `now` (Unix seconds); returns how many."""
        closed = int(now - GRACE_S) // BUCKET_S * BUCKET_S
        start = self._next if self._next is not None else closed - CATCH_UP_S
        windows = 0
        for begin in range(start, closed, BUCKET_S):
            for statement in statements(self._database, begin):
                self._client.command(statement)
            windows += 1
            self._next = begin + BUCKET_S
        return windows


def statements(database: str, begin: int) -> list[str]:
    """The INSERTs for the window that begins at `begin` (Unix seconds)."""
    end = begin + BUCKET_S

    def between(low: int, high: int) -> str:
        return f"bucket >= toDateTime({low}, 'UTC') AND bucket < toDateTime({high}, 'UTC')"

    clients = f"SELECT * FROM {database}.links WHERE side = 'client' AND {between(begin, end)}"
    servers = (
        f"SELECT key, any(service) AS service, max(duration_ns) AS duration_ns FROM {database}.links "
        f"WHERE side = 'server' AND {between(begin - APART_S, end + APART_S)} "
        f"AND key IN (SELECT key FROM ({clients})) GROUP BY key"
    )
    # An address that two services answered at tells nothing.
    peers = f"SELECT peer, any(service) AS service FROM {database}.peers GROUP BY peer HAVING uniq(service) = 1"
    learn = (
        f"INSERT INTO {database}.peers (bucket, peer, service) SETTINGS insert_deduplication_token = 'peers:{begin}' "
        f"SELECT toDateTime({begin}, 'UTC'), c.peer, s.service FROM ({clients}) AS c INNER JOIN ({servers}) AS s "
        "ON c.key = s.key WHERE c.peer != '' GROUP BY c.peer, s.service"
    )
    join = (
        f"INSERT INTO {database}.edges (bucket, caller, callee, source, calls, errors, client_ns_sum, server_calls, "
        f"server_ns_sum) SETTINGS insert_deduplication_token = 'edges:{begin}' "
        "SELECT c.bucket AS bucket, c.service AS caller, "
        "multiIf(s.service != '', s.service, p.service != '', p.service, c.peer) AS callee, "
        "multiIf(s.service != '', 'span', p.service != '', 'peer', 'attribute') AS source, count(), "
        "sum(toUInt64(c.error)), sum(c.duration_ns), countIf(s.service != ''), sum(s.duration_ns) "
        f"FROM ({clients}) AS c LEFT JOIN ({servers}) AS s ON c.key = s.key LEFT JOIN ({peers}) AS p ON c.peer = p.peer "
        "WHERE callee != '' AND callee != caller GROUP BY bucket, caller, callee, source"
    )
    return [learn, join]
