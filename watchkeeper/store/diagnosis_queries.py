"""The SQL of the live path, in ClickHouse's dialect, over the exporter's tables. Every query names its window."""

from __future__ import annotations

_WINDOW = "Timestamp >= {start:DateTime64(3, 'UTC')} AND Timestamp < {end:DateTime64(3, 'UTC')}"

# Where a client span went: the peer's name, its address and port, or the host of its URL.
_DESTINATION = """multiIf(
    SpanAttributes['peer.service'] != '', SpanAttributes['peer.service'],
    SpanAttributes['server.address'] != '', concat(
        SpanAttributes['server.address'], if(SpanAttributes['server.port'] != '', ':', ''),
        SpanAttributes['server.port']),
    SpanAttributes['url.full'] != '', extract(SpanAttributes['url.full'], '^[a-z]+://([^/?]+)'),
    SpanAttributes['http.url'] != '', extract(SpanAttributes['http.url'], '^[a-z]+://([^/?]+)'),
    concat(
        SpanAttributes['net.peer.name'], if(SpanAttributes['net.peer.port'] != '', ':', ''),
        SpanAttributes['net.peer.port']))"""

_NO_DATABASE = "SpanAttributes['db.system'] = '' AND SpanAttributes['db.system.name'] = ''"


def _fill(template: str) -> str:
    for name, part in (("$WINDOW", _WINDOW), ("$DESTINATION", _DESTINATION), ("$NO_DATABASE", _NO_DATABASE)):
        template = template.replace(name, part)
    return template


# Which service answers at which destination, from a bounded sample of calls that went well.
ADDRESSES = _fill("""
SELECT client.destination AS destination, server.ServiceName AS service,
    count() AS calls, avg(client.Duration) / 1e9 AS mean_s
FROM (
    SELECT SpanId, $DESTINATION AS destination, Duration FROM otel_traces
    WHERE $WINDOW AND SpanKind = 'Client' AND StatusCode != 'Error' AND $NO_DATABASE
    LIMIT 20000) AS client
INNER JOIN (
    SELECT ParentSpanId, ServiceName FROM otel_traces
    WHERE $WINDOW AND SpanKind IN ('Server', 'Consumer')) AS server
ON client.SpanId = server.ParentSpanId
WHERE client.destination != ''
GROUP BY destination, service
ORDER BY destination, calls DESC, service
""")

# The newest calls, which the roll-up of edges does not hold yet: both sides where both have come in. A call that failed
# and that nobody reports to have served is left to `FAILED`.
NEWEST_CALLS = """
SELECT toUnixTimestamp(client.bucket) AS bucket, client.service AS caller, server.service AS callee,
    client.peer AS peer, count() AS calls, sum(client.error) AS errors, sum(client.duration_ns) / 1e9 AS waited,
    sum(server.duration_ns) / 1e9 AS served
FROM (
    SELECT bucket, key, service, peer, error, duration_ns FROM links
    WHERE side = 'client' AND bucket >= toDateTime({begin:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    ) AS client
LEFT JOIN (
    SELECT key, any(l.service) AS service, max(l.duration_ns) AS duration_ns FROM links AS l
    WHERE side = 'server' AND bucket >= toDateTime({begin:UInt32} - 30, 'UTC')
      AND bucket < toDateTime({end:UInt32}, 'UTC')
    GROUP BY key) AS server
ON client.key = server.key
GROUP BY bucket, caller, callee, peer
ORDER BY bucket, caller, callee, peer
"""

# A reply carries a status; a client span that failed without one got no reply. `refused`: nobody listens there;
# the others without a time-out were broken off by somebody who did listen.
FAILED = _fill("""
SELECT caller, destination, count() AS calls, sum(Duration) / 1e9 AS waited,
    countIf(match(reason, '(?i)refused|unreachable|connect.?error|no route')
        AND NOT match(reason, '(?i)reset|remote.?protocol|disconnected')) AS refused,
    countIf(match(reason, '(?i)time.?out|timed out|deadline')) AS timed_out
FROM (
    SELECT ServiceName AS caller, $DESTINATION AS destination, Duration,
        concat(StatusMessage, ' ', SpanAttributes['error.type'], ' ', arrayStringConcat(arrayMap(
            event -> concat(event['exception.type'], ' ', event['exception.message']), `Events.Attributes`), ' '))
            AS reason
    FROM otel_traces
    WHERE $WINDOW AND SpanKind = 'Client' AND StatusCode = 'Error' AND $NO_DATABASE
      AND SpanAttributes['http.status_code'] = '' AND SpanAttributes['http.response.status_code'] = ''
      AND SpanAttributes['rpc.grpc.status_code'] IN ('', '4', '14'))
GROUP BY caller, destination
ORDER BY caller, destination
""")

# What each instance of one service served, before and after the onset.
INSTANCES = _fill("""
SELECT multiIf(ResourceAttributes['service.instance.id'] != '', ResourceAttributes['service.instance.id'],
        ResourceAttributes['k8s.pod.name'] != '', ResourceAttributes['k8s.pod.name'],
        ResourceAttributes['host.name']) AS instance,
    SpanName AS operation, Timestamp >= {onset:DateTime64(3, 'UTC')} AS late, count() AS calls,
    countIf(StatusCode = 'Error') AS errors, avg(log(Duration + 1)) AS log_mean, varPop(log(Duration + 1)) AS log_var,
    sum(Duration) / 1e9 AS busy, toUnixTimestamp64Milli(min(Timestamp)) / 1000 AS first,
    toUnixTimestamp64Milli(max(Timestamp)) / 1000 AS last
FROM otel_traces
WHERE ServiceName = {service:String} AND $WINDOW AND SpanKind IN ('Server', 'Consumer')
GROUP BY instance, operation, late
ORDER BY instance, operation, late
LIMIT 20000
""")

# The seconds in which each service's metrics were recorded.
HEARTBEATS = """
SELECT DISTINCT service, second FROM (
    SELECT DISTINCT ServiceName AS service, toUnixTimestamp(TimeUnix) AS second FROM otel_metrics_sum
    WHERE TimeUnix >= {start:DateTime64(3, 'UTC')} AND TimeUnix < {end:DateTime64(3, 'UTC')}
    UNION ALL
    SELECT DISTINCT ServiceName AS service, toUnixTimestamp(TimeUnix) AS second FROM otel_metrics_gauge
    WHERE TimeUnix >= {start:DateTime64(3, 'UTC')} AND TimeUnix < {end:DateTime64(3, 'UTC')})
ORDER BY service, second
"""

# Warnings and worse by template; numbers and identifiers are cut out of the text.
LOGS = _fill("""
SELECT ServiceName AS service, SeverityText AS severity,
    replaceRegexpAll(toValidUTF8(substring(Body, 1, 200)), '[0-9a-fA-F]{8,}|[0-9]+', '#') AS template,
    countIf(Timestamp < {onset:DateTime64(3, 'UTC')}) AS before,
    countIf(Timestamp >= {onset:DateTime64(3, 'UTC')}) AS after,
    anyLast(toValidUTF8(substring(Body, 1, 300))) AS sample
FROM otel_logs
WHERE TimestampTime >= toDateTime({start:DateTime64(3, 'UTC')}) AND $WINDOW AND SeverityNumber >= 13
GROUP BY service, severity, template
ORDER BY after DESC, service, severity, template
LIMIT 2000
""")

# How many spans a window holds: decides which share of its traces is read.
SPANS = _fill("""
SELECT count() AS spans FROM otel_traces WHERE $WINDOW
""")

# A share of all traces, each with all of its spans in the window. `outgoing`: calls to other services.
TRACES = _fill("""
SELECT cityHash64(TraceId) AS trace, toUnixTimestamp64Nano(Timestamp) AS timestamp, SpanId AS span_id,
    ParentSpanId AS parent_span_id, toString(ServiceName) AS service, toString(SpanName) AS span_name,
    toInt64(Duration) AS duration_ns, toString(StatusCode) AS status_code,
    SpanKind IN ('Client', 'Producer') AND $NO_DATABASE AS outgoing
FROM otel_traces
WHERE $WINDOW AND cityHash64(TraceId) % 1024 < {share:UInt32}
LIMIT {most:UInt32}
""")

# The log lines of the same traces.
TRACE_LINES = _fill("""
SELECT SpanId AS span_id, toString(SeverityText) AS severity, toValidUTF8(substring(Body, 1, 400)) AS body
FROM otel_logs
WHERE TimestampTime >= toDateTime({start:DateTime64(3, 'UTC')}) AND $WINDOW AND SpanId != ''
  AND cityHash64(TraceId) % 1024 < {share:UInt32}
LIMIT {most:UInt32}
""")
