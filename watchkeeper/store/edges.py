"""Who calls whom: joins both sides of each call into `edges`, a window at a time.

A self-join in a view would see only the inserted block, while the two sides of a call arrive in different
requests, and through different `ingest` processes; so this runs every few seconds over the windows that have closed,
and again over one whose calls came late.

A window is worked out anew each time, and what is inserted is the difference to what is there: running it again, after
a crash or by several processes, changes nothing, and whoever runs last makes it right. Sums wrap around, so that a
difference may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchkeeper.errors import StoreError
from watchkeeper.store.schema import BUCKET_S
from watchkeeper.store.statements import Statements

# How late a span may be after its end and still be counted at once: an exporter's batching and a request's way.
GRACE_S: Final = 3
# How much earlier than the caller's side the callee's side of a call may end.
EARLIER_S: Final = 30
# After a long absence, windows older than this stay without edges.
CATCH_UP_S: Final = 86400
# How far back, and how often, calls that came late are looked for.
LATE_S: Final = 900
LATE_EVERY_S: Final = 10  # costs a count over the last quarter of an hour
MOST_LATE: Final = 24  # windows that are worked out again at a time
# The callee's side of a call that came late may belong to a caller's side so much later.
CALLEE_S: Final = 10

# Addresses are learned from every window at first, and then from one in so many: they seldom change, and are kept.
LEARN_AT_FIRST: Final = 12
LEARN_EVERY_S: Final = 30

_SUMS: Final = ("calls", "errors", "client_ns_sum", "server_calls", "server_ns_sum")


class EdgeRefresh:
    """Keeps `edges` and `peers` up to date; call `run` every few seconds."""

    def __init__(self, store: Statements, database: str) -> None:
        """`store` sends as a user who may write."""
        self._store = store
        self._database = database
        self._next: int | None = None
        self._looked_at = 0
        self._worked_out = 0
        self._sides: dict[int, int] = {}  # window → how many sides of calls it had when it was worked out

    def run(self, complete_until: float) -> int:
        """Join every window that has closed, or has got more calls since; returns how many were worked out.

        Args:
            complete_until: Unix seconds; whatever this process received before this is in the store.

        Raises:
            StoreError: a statement was rejected, or the store could not be reached. Begin anew.
        """
        try:
            return self._refresh(complete_until)
        except StoreError as error:
            raise StoreError(f"call edges cannot be computed: {error.message}", retry=True) from error

    def _refresh(self, complete_until: float) -> int:
        closed = int(complete_until - GRACE_S) // BUCKET_S * BUCKET_S
        first = self._next if self._next is not None else self._resume(closed)
        looks_back = closed - self._looked_at >= LATE_EVERY_S
        begin = min(first, closed - LATE_S) if looks_back else first
        if begin >= closed:
            return 0
        sides = self._count(begin, closed)
        late = sorted(self._late(sides, first), reverse=True)[:MOST_LATE] if looks_back else []
        new = sorted(window for window in sides if window >= first)
        for window in (*new, *late):
            count = sides.get(window, 0)
            learn, difference = statements(self._database, window, self._state(window, count, closed))
            if self._worked_out < LEARN_AT_FIRST or window % LEARN_EVERY_S == 0:
                self._store.run(learn)
            self._store.run(difference)
            self._worked_out += 1
            self._sides[window] = count
            self._next = max(self._next or first, window + BUCKET_S) if window >= first else self._next
        self._next = max(first, closed)
        if looks_back:
            self._looked_at = closed
            self._sides = {window: count for window, count in self._sides.items() if window >= closed - LATE_S}
        return len(new) + len(late)

    def _late(self, sides: Mapping[int, int], first: int) -> set[int]:
        """Windows that were worked out with fewer calls than there are, or before this process began."""
        changed = {window for window, count in sides.items() if window < first and self._sides.get(window) != count}
        # The callee's side may have ended some windows before the caller's.
        after = {window + later for window in changed for later in range(BUCKET_S, CALLEE_S + 1, BUCKET_S)}
        return changed | {window for window in after if window < first}

    def _count(self, begin: int, end: int) -> dict[int, int]:
        rows = self._read(
            f"SELECT toUnixTimestamp(bucket) AS begin, count() FROM {self._database}.links "
            f"WHERE {_between(begin, end)} GROUP BY begin"
        )
        return {int(window): int(count) for window, count in rows}

    def _state(self, window: int, sides: int, closed: int) -> str:
        """What the difference is worked out from. Two processes that see the same insert the same, which counts once."""
        ((edges,),) = self._read(
            f"SELECT toString(groupBitXor(hash)) FROM (SELECT cityHash64(e.caller, e.callee, e.source, "
            f"{', '.join(f'sum(e.{name})' for name in _SUMS)}) AS hash FROM {self._database}.edges AS e "
            f"WHERE {_between(window, window + BUCKET_S)} GROUP BY e.caller, e.callee, e.source)"
        )
        return f"{window}:{sides}:{edges}:{closed // 60}"

    def _resume(self, closed: int) -> int:
        """Where an earlier process stopped, or another one is; what is before is looked at as late."""
        ((last,),) = self._read(f"SELECT toUnixTimestamp(max(bucket)) FROM {self._database}.edges")
        return max(closed - CATCH_UP_S, min(closed, int(last)))

    def _read(self, sql: str) -> list[list[str]]:
        """The rows of a query whose columns are numbers."""
        text = self._store.run(f"{sql} FORMAT TabSeparated").decode()
        return [line.split("\t") for line in text.splitlines()]


def _between(low: int, high: int) -> str:
    return f"bucket >= toDateTime({low}, 'UTC') AND bucket < toDateTime({high}, 'UTC')"


def statements(database: str, begin: int, state: str) -> list[str]:
    """The INSERTs for the window that begins at `begin` (Unix seconds).

    `state` names what they are worked out from: the same state is never inserted twice.
    """
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
    # An address that two services answered at is ambiguous.
    peers = (
        f"SELECT p.peer AS peer, any(p.service) AS known FROM {database}.peers AS p GROUP BY p.peer "
        "HAVING uniqExact(p.service) = 1"
    )
    learn = (
        f"INSERT INTO {database}.peers (bucket, peer, service) SETTINGS insert_deduplication_token = 'peers:{state}' "
        f"SELECT toDateTime({begin}, 'UTC'), c.peer, s.server FROM ({clients}) AS c INNER JOIN ({servers}) AS s "
        "ON c.key = s.key WHERE c.peer != '' GROUP BY c.peer, s.server"
    )
    now = (
        "SELECT c.bucket AS at, toString(c.service) AS caller, "
        "toString(multiIf(s.server != '', s.server, p.known != '', p.known, c.peer)) AS callee, "
        "multiIf(s.server != '', 'span', p.known != '', 'peer', 'attribute') AS source, toInt64(count()) AS calls, "
        "toInt64(sum(toUInt64(c.error))) AS errors, toInt64(sum(c.duration_ns)) AS client_ns_sum, "
        "toInt64(countIf(s.server != '')) AS server_calls, toInt64(sum(s.server_ns)) AS server_ns_sum "
        f"FROM ({clients}) AS c LEFT JOIN ({servers}) AS s ON c.key = s.key LEFT JOIN ({peers}) AS p ON c.peer = p.peer "
        "WHERE callee != '' AND callee != caller GROUP BY at, caller, callee, source"
    )
    before = (
        "SELECT e.bucket AS at, toString(e.caller) AS caller, toString(e.callee) AS callee, "
        f"toString(e.source) AS source, {', '.join(f'-toInt64(sum(e.{name})) AS {name}' for name in _SUMS)} "
        f"FROM {database}.edges AS e WHERE {_between(begin, end)} GROUP BY at, caller, callee, source"
    )
    difference = (
        f"INSERT INTO {database}.edges (bucket, caller, callee, source, {', '.join(_SUMS)}) "
        f"SETTINGS insert_deduplication_token = 'edges:{state}' "
        f"SELECT at, caller, callee, source, {', '.join(f'toUInt64(sum({name})) AS {name}' for name in _SUMS)} "
        f"FROM ({now} UNION ALL {before}) GROUP BY at, caller, callee, source "
        f"HAVING {' OR '.join(f'{name} != 0' for name in _SUMS)}"
    )
    return [learn, difference]
