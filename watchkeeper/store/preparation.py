"""What happens once before segments are loaded: make what is missing in the store, learn what is there.

The embedded engine makes its own tables. In a cluster the exporter's tables may be there already, made by a
Collector of another age; they are left as they are, and the roll-ups are made beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from watchkeeper.store.otlp import Destination
from watchkeeper.store.statements import Statements


def prepare(
    store: Statements,
    *,
    database: str,
    memory_mib: int,
    retention_days: float = 0,
    ahead_days: float = 1,
    schema: Sequence[str] = (),
) -> Destination:
    """Run the statements in `schema`, and describe where segments go.

    Raises:
        StoreError: the store rejected it, or could not be reached.
    """
    for statement in schema:
        store.run(statement)
    answer = store.run(f"SELECT table, name FROM system.columns WHERE database = '{database}' FORMAT TabSeparated")
    columns: dict[str, set[str]] = defaultdict(set)
    for line in answer.decode().splitlines():
        table, _, name = line.partition("\t")
        columns[table].add(name)
    known = {table: frozenset(names) for table, names in columns.items()}
    return Destination(
        database=database, memory_mib=memory_mib, retention_days=retention_days, ahead_days=ahead_days, columns=known
    )
