"""The SQL of what there is (metrics, their labels) and of what arrives from whom. Times are Unix seconds."""

from __future__ import annotations

from typing import Final

MOST_METRICS: Final = 2000
_HOURS: Final = (
    "bucket >= toStartOfHour(toDateTime({start:Float64}, 'UTC')) AND bucket < toDateTime({end:Float64}, 'UTC')"
)
_MINUTES: Final = "bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC')"

# Every metric in the hours that a window touches, those with most series first: metric, kind, unit, description,
# services, series, points, newest. A name that is sent as two kinds has two rows.
METRICS: Final = (
    "SELECT metric, kind, anyLast(c.unit) AS unit, anyLast(c.description) AS description, "
    "toInt64(uniqExact(service)) AS services, toInt64(uniqCombinedMerge(14)(c.series)) AS series, "
    "toInt64(sum(c.points)) AS points, toDateTime64(max(c.newest), 0, 'UTC') AS newest "
    f"FROM metric_catalog AS c WHERE {_HOURS} GROUP BY metric, kind ORDER BY series DESC, metric, kind "
    f"LIMIT {MOST_METRICS}"
)

# One metric's senders, those with most series first: service, kind, scope, temporality, series, points, newest.
SENDERS: Final = (
    "SELECT service, kind, anyLast(c.scope) AS scope, toInt32(anyLast(c.temporality)) AS temporality, "
    "toInt64(uniqCombinedMerge(14)(c.series)) AS series, toInt64(sum(c.points)) AS points, "
    "toDateTime64(max(c.newest), 0, 'UTC') AS newest "
    f"FROM metric_catalog AS c WHERE metric = {{metric:String}} AND {_HOURS} "
    "GROUP BY service, kind ORDER BY series DESC, service LIMIT 200"
)

# One metric's labels, the one with most values first: label, distinct.
LABELS: Final = (
    "SELECT pair.1 AS label, toInt64(pair.2) AS distinct FROM ("
    "SELECT arrayJoin(arrayZip(mapKeys(m), mapValues(m))) AS pair FROM ("
    "SELECT uniqCombinedMapMerge(12)(c.labels) AS m "
    f"FROM metric_catalog AS c WHERE metric = {{metric:String}} AND {_HOURS})) "
    "ORDER BY distinct DESC, label LIMIT 100"
)

# Labels with `least` values or more, of the fifty metrics with most series: metric, label, distinct.
NUMEROUS: Final = (
    "SELECT metric, pair.1 AS label, toInt64(pair.2) AS distinct FROM ("
    "SELECT metric, arrayJoin(arrayZip(mapKeys(m), mapValues(m))) AS pair FROM ("
    "SELECT metric, uniqCombinedMapMerge(12)(c.labels) AS m, uniqCombinedMerge(14)(c.series) AS s "
    f"FROM metric_catalog AS c WHERE {_HOURS} GROUP BY metric ORDER BY s DESC, metric LIMIT 50)) "
    "WHERE distinct >= {least:UInt32} ORDER BY distinct DESC, metric, label LIMIT 100"
)

# Rows, bytes and lag of each signal by `step` seconds: step (Unix seconds), signal, rows, bytes, lag_ms_mean, lag_ms_max.
ARRIVED: Final = (
    "SELECT toInt64(intDiv(toUnixTimestamp(bucket), {step:UInt32}) * {step:UInt32}) AS step, signal, "
    "toInt64(sum(a.rows)) AS rows, toInt64(sum(a.bytes)) AS bytes, sum(a.lag_ms_sum) / sum(a.rows) AS lag_ms_mean, "
    "toFloat64(max(a.lag_ms_max)) AS lag_ms_max "
    f"FROM arrivals AS a WHERE {_MINUTES} GROUP BY step, signal ORDER BY step, signal"
)

# Who sent what, most bytes first: service, signal, rows, bytes, lag_ms_mean, lag_ms_max, sdks, scopes, newest.
SOURCES: Final = (
    "SELECT service, signal, toInt64(sum(a.rows)) AS rows, toInt64(sum(a.bytes)) AS bytes, "
    "sum(a.lag_ms_sum) / sum(a.rows) AS lag_ms_mean, toFloat64(max(a.lag_ms_max)) AS lag_ms_max, "
    "arraySort(groupUniqArrayMerge(8)(a.sdks)) AS sdks, arraySort(groupUniqArrayMerge(32)(a.scopes)) AS scopes, "
    "toDateTime64(max(bucket), 0, 'UTC') AS newest "
    f"FROM arrivals AS a WHERE {_MINUTES} GROUP BY service, signal ORDER BY bytes DESC, service, signal LIMIT 5000"
)

# Which signals of which services have stopped: service, signal, newest, minutes (in which something came since `start`).
# Something came in at least `least` minutes, and nothing after `quiet_after`.
STOPPED: Final = (
    "SELECT service, signal, toDateTime64(max(bucket), 0, 'UTC') AS newest, toInt64(uniqExact(bucket)) AS minutes "
    f"FROM arrivals WHERE {_MINUTES} GROUP BY service, signal "
    "HAVING newest < toDateTime({quiet_after:Float64}, 'UTC') AND minutes >= {least:UInt32} "
    "ORDER BY newest DESC, service, signal LIMIT 200"
)

# What the tables take on disk: signal, disk_bytes, memory_bytes, rows.
DISK: Final = (
    "SELECT multiIf(table = 'otel_traces', 'traces', table = 'otel_logs', 'logs', "
    "startsWith(table, 'otel_metrics'), 'metrics', 'roll-ups') AS signal, toInt64(sum(bytes_on_disk)) AS disk_bytes, "
    "toInt64(sum(data_uncompressed_bytes)) AS memory_bytes, toInt64(sum(p.rows)) AS rows FROM system.parts AS p "
    "WHERE active AND database = currentDatabase() GROUP BY signal ORDER BY signal"
)
