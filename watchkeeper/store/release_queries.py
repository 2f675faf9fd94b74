"""Which version of each service runs, by the resource attributes of what it sent."""

from __future__ import annotations

from typing import Final

# Attributes that name what runs: OpenTelemetry's conventions and their elder forms.
NAMES: Final = (
    r"^(service\.version|app\.version|faas\.version|container\.image\.(tags?|id|repo_digests)|oci\.manifest\.digest|"
    r"(vcs|git)\..*(revision|commit|sha).*|deployment\.(id|version|revision)|k8s\.replicaset\.name)$"
)
_PARTS: Final = " UNION ALL ".join(
    f"SELECT ServiceName, ResourceAttributes, min({time}) AS first, max({time}) AS last FROM {table} "
    f"WHERE {time} >= {{start:DateTime64(3, 'UTC')}} AND {time} < {{end:DateTime64(3, 'UTC')}} "
    "GROUP BY ServiceName, ResourceAttributes"
    for table, time in (
        ("otel_traces", "Timestamp"),
        ("otel_logs", "Timestamp"),
        ("otel_metrics_sum", "TimeUnix"),
        ("otel_metrics_gauge", "TimeUnix"),
    )
)
# service, process (an instance with its process id; empty if unknown), attribute, value, first, last (Unix seconds) of
# what was sent between `start` and `end`. The attribute is empty in the row that stands for the process itself.
RELEASES: Final = f"""
SELECT toString(ServiceName) AS service, process, attribute, value,
    toFloat64(toUnixTimestamp64Milli(min(first))) / 1000 AS first,
    toFloat64(toUnixTimestamp64Milli(max(last))) / 1000 AS last
FROM (
    SELECT ServiceName, first, last,
        multiIf(ResourceAttributes['service.instance.id'] != '', ResourceAttributes['service.instance.id'],
            ResourceAttributes['k8s.pod.name'] != '', ResourceAttributes['k8s.pod.name'],
            ResourceAttributes['host.name']) AS instance,
        ResourceAttributes['process.pid'] AS pid, ResourceAttributes['process.creation.time'] AS created,
        trim(concat(instance, ' ', pid, ' ', created)) AS process,
        arrayConcat([('', '')], arrayFilter(pair -> match(pair.1, '{NAMES}') AND pair.2 != '',
            arrayZip(mapKeys(ResourceAttributes), mapValues(ResourceAttributes)))) AS pairs,
        arrayJoin(pairs) AS pair, pair.1 AS attribute, pair.2 AS value
    FROM ({_PARTS}))
GROUP BY service, process, attribute, value
ORDER BY first, service, process, attribute, value
LIMIT 50000
"""
