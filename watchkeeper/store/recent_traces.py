"""The newest traces, for somebody who wants to see that telemetry arrives."""

from __future__ import annotations

from typing import Any

from watchkeeper.store.telemetry import Telemetry

_QUERY = """
SELECT TraceId AS trace_id,
       formatDateTime(min(Timestamp), '%Y-%m-%dT%H:%i:%S', 'UTC') AS at,
       arraySort(groupUniqArray(20)(ServiceName)) AS services,
       argMin(SpanName, (ParentSpanId != '', Timestamp)) AS operation,
       (max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) - min(toUnixTimestamp64Nano(Timestamp))) / 1e6
           AS duration_ms,
       count() AS spans,
       countIf(StatusCode = 'Error') AS errors
FROM otel_traces
WHERE Timestamp > now64(9) - toIntervalSecond({back_s:UInt32})
GROUP BY trace_id
HAVING if({service:String} = '', countIf(NOT startsWith(ServiceName, {own:String})) > 0,
          has(groupUniqArray(1000)(ServiceName), {service:String}))
ORDER BY min(Timestamp) DESC, trace_id
LIMIT {limit:UInt32}
"""


OWN = "watchkeeper-"  # Watchkeeper's roles send their own traces, one every few seconds, which would fill the list


def recent_traces(telemetry: Telemetry, *, minutes: float, service: str = "", limit: int = 20) -> list[dict[str, Any]]:
    """Traces that began in the last minutes, newest first: times are UTC, the operation is the root's.

    Those of Watchkeeper's own roles are left out, unless `service` is one of them.

    Raises:
        StoreError: the store rejected it, or could not be reached.
    """
    parameters = {"back_s": int(minutes * 60), "service": service, "own": OWN, "limit": limit}
    rows: list[dict[str, Any]] = telemetry.query(_QUERY, parameters).to_pylist()
    return rows
