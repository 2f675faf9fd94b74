"""The SQL behind answers to questions, over roll-ups. Each is short, because whoever asked is shown it.

Times are Unix seconds: `split` divides a window from `start` to `end` into before and now.
"""

from __future__ import annotations

from typing import Final

_WITHIN: Final = "bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC')"
_NOW: Final = "bucket >= toDateTime({split:Float64}, 'UTC')"
_SERVED: Final = f"{_WITHIN} AND kind IN ('Server', 'Consumer')"

# Every service that served or was called: service.
SERVICES: Final = (
    f"SELECT service FROM red WHERE {_WITHIN} GROUP BY service "
    f"UNION DISTINCT SELECT callee AS service FROM edges WHERE {_WITHIN} GROUP BY callee LIMIT 20000"
)

# The operations of a service before and now, those with most failures now first: operation, calls, errors, p95_ms,
# calls_before, errors_before, p95_ms_before. The first row, operation '', is the service.
COMPARED: Final = (
    "SELECT operation, "
    f"toInt64(sumIf(calls, {_NOW})) AS calls, toInt64(sumIf(errors, {_NOW})) AS errors, "
    f"quantilesTDigestMergeIf(0.5, 0.9, 0.95, 0.99)(latency, {_NOW})[3] / 1e6 AS p95_ms, "
    f"toInt64(sumIf(red.calls, NOT {_NOW})) AS calls_before, toInt64(sumIf(red.errors, NOT {_NOW})) AS errors_before, "
    f"quantilesTDigestMergeIf(0.5, 0.9, 0.95, 0.99)(latency, NOT {_NOW})[3] / 1e6 AS p95_ms_before "
    f"FROM red WHERE {_SERVED} AND service = {{service:String}} "
    "GROUP BY GROUPING SETS ((), (operation)) ORDER BY operation = '' DESC, errors DESC, calls DESC LIMIT 20"
)

# Whom a service calls, before and now: peer, calls, errors, mean_ms, calls_before, errors_before, mean_ms_before.
CALLEES: Final = (
    f"SELECT callee AS peer, toInt64(sumIf(calls, {_NOW})) AS calls, toInt64(sumIf(errors, {_NOW})) AS errors, "
    f"sumIf(client_ns_sum, {_NOW}) / sumIf(edges.calls, {_NOW}) / 1e6 AS mean_ms, "
    f"toInt64(sumIf(edges.calls, NOT {_NOW})) AS calls_before, "
    f"toInt64(sumIf(edges.errors, NOT {_NOW})) AS errors_before, "
    f"sumIf(client_ns_sum, NOT {_NOW}) / sumIf(edges.calls, NOT {_NOW}) / 1e6 AS mean_ms_before "
    f"FROM edges WHERE {_WITHIN} AND caller = {{service:String}} AND callee != {{service:String}} "
    "GROUP BY callee ORDER BY calls DESC LIMIT 50"
)

# Who calls whom: caller, callee, calls, errors.
CALLS: Final = (
    "SELECT caller, callee, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors "
    f"FROM edges WHERE {_WITHIN} AND caller != callee GROUP BY caller, callee HAVING calls > 0 "
    "ORDER BY calls DESC LIMIT 20000"
)

# Requests of an objective, all and failed: within its window, within the last day, and within the last hour.
BUDGET: Final = (
    "SELECT toInt64(sum(calls)) AS total, toInt64(sum(errors)) AS bad, "
    "toInt64(sumIf(red.calls, bucket >= toDateTime({day:Float64}, 'UTC'))) AS total_day, "
    "toInt64(sumIf(red.errors, bucket >= toDateTime({day:Float64}, 'UTC'))) AS bad_day, "
    "toInt64(sumIf(red.calls, bucket >= toDateTime({hour:Float64}, 'UTC'))) AS total_hour, "
    "toInt64(sumIf(red.errors, bucket >= toDateTime({hour:Float64}, 'UTC'))) AS bad_hour "
    f"FROM red WHERE {_SERVED} AND service = {{service:String}} "
    "AND ({operation:String} = '' OR operation = {operation:String})"
)
