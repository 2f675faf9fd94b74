"""What calls go to beside services that report: databases, caches, other companies' systems.

Such a dependency is known by the name that its callers' spans give it: `redis (cache-1:6379)`, `sqlite:orders`,
`api.example.com:443`. It can be blamed on its own, unless it is a library inside of its caller's process.
"""

from __future__ import annotations

import re

from rca.case import Links

# Values of OpenTelemetry's `db.system` that name the kind of database in an edge.
DATABASE = re.compile(
    r"sql|postgres|maria|oracle|redis|valkey|mongo|cassandra|dynamo|elastic|opensearch|memcache|cockroach|couch|neo4j"
    r"|clickhouse|influx|hbase|db2?\b|database",
    re.IGNORECASE,
)
# Those of them that run in the process of the program that uses them.
EMBEDDED = re.compile(r"^(sqlite|h2|hsqldb|derby|duckdb|rocksdb|leveldb|lmdb)\b", re.IGNORECASE)


def is_database(name: str) -> bool:
    """Whether a dependency is a database or a cache, by its name."""
    return DATABASE.search(name) is not None


def separate_dependencies(links: Links, services: frozenset[str]) -> frozenset[str]:
    """Callees that are not among `services` and not inside of their only caller: to blame on their own."""
    callers: dict[str, set[str]] = {}
    for caller, callee in zip(links.caller, links.callee, strict=True):
        callers.setdefault(str(callee), set()).add(str(caller))
    return frozenset(
        callee
        for callee, who in callers.items()
        if callee not in services and (len(who) > 1 or not EMBEDDED.search(callee))
    )
