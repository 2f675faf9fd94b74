"""The live path's reader over an in-memory chDB that holds a simulated shop in the exporter's columns."""
# ruff: noqa: E501 - one statement a line reads best here

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import chdb.session
import pyarrow as pa
from rca_shop import Shop

from watchkeeper.store.schema import END_BUCKET_SQL, PEER_SQL
from watchkeeper.vocabulary import Window

SCHEMA = """
CREATE TABLE otel_traces (Timestamp DateTime64(9, 'UTC'), TraceId String, SpanId String, ParentSpanId String, SpanName LowCardinality(String),
    SpanKind LowCardinality(String), ServiceName LowCardinality(String), SpanAttributes Map(LowCardinality(String), String),
    ResourceAttributes Map(LowCardinality(String), String),
    Duration UInt64, StatusCode LowCardinality(String), StatusMessage String,
    Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)))
    ENGINE = MergeTree ORDER BY (ServiceName, SpanName, toDateTime(Timestamp));
CREATE TABLE otel_logs (Timestamp DateTime64(9, 'UTC'), TimestampTime DateTime('UTC') DEFAULT toDateTime(Timestamp),
    ServiceName LowCardinality(String), SeverityText LowCardinality(String), SeverityNumber UInt8, Body String, TraceId String, SpanId String)
    ENGINE = MergeTree ORDER BY (ServiceName, TimestampTime);
CREATE TABLE otel_metrics_gauge (ServiceName LowCardinality(String), MetricName String, TimeUnix DateTime64(9, 'UTC'), Value Float64)
    ENGINE = MergeTree ORDER BY (ServiceName, MetricName, TimeUnix);
CREATE VIEW links AS SELECT $END_BUCKET AS bucket, if(SpanKind = 'Server', 'server', 'client') AS side,
    if(SpanKind = 'Server', ParentSpanId, SpanId) AS key, toString(ServiceName) AS service, if(SpanKind = 'Client', $PEER, '') AS peer,
    StatusCode = 'Error' AS error, Duration AS duration_ns FROM otel.otel_traces WHERE SpanKind = 'Client' OR ParentSpanId != '';
CREATE TABLE otel_metrics_sum AS otel_metrics_gauge ENGINE = MergeTree ORDER BY (ServiceName, MetricName, TimeUnix);
""".replace("$END_BUCKET", END_BUCKET_SQL).replace("$PEER", PEER_SQL)


class ChdbReader:
    """Answers as the store does, computing roll-ups on the fly; that of edges is `edges_behind_s` late."""

    def __init__(self, path: Path) -> None:
        self.edges_behind_s = 0.0
        self.session = chdb.session.Session(str(path / "chdb"))
        self.session.query("CREATE DATABASE IF NOT EXISTS otel; USE otel")
        for statement in SCHEMA.split(";"):
            if statement.strip():
                self.session.query(statement)

    def fill(self, shop: Shop) -> None:
        """Replace what is stored by what `shop` recorded."""
        for table in ("otel_traces", "otel_metrics_gauge", "otel_logs"):
            self.session.query(f"TRUNCATE TABLE otel.{table}")
        self._insert("otel_traces", [
            {"Timestamp": s["at"], "TraceId": s["trace"], "SpanId": s["id"], "ParentSpanId": s["parent"], "SpanName": s["name"], "SpanKind": s["kind"],
             "ServiceName": s["service"], "SpanAttributes": s["attributes"], "ResourceAttributes": {"service.instance.id": s["instance"]} if s.get("instance") else {}, "Duration": int(s["duration"] * 1e9),
             "StatusCode": "Error" if s["error"] else "Unset", "StatusMessage": s["message"]} for s in shop.spans])  # fmt: skip
        self._insert("otel_metrics_gauge", [
            {"ServiceName": m["service"], "MetricName": m["metric"], "TimeUnix": m["at"], "Value": m["value"]} for m in shop.metrics])  # fmt: skip
        self._insert("otel_logs", [
            {"Timestamp": r["at"], "ServiceName": r["service"], "SeverityText": r["severity"], "SeverityNumber": 17 if r["severity"] == "ERROR" else 9, "Body": r["body"], "TraceId": r["trace"], "SpanId": r["span"]}
            for r in shop.logs])  # fmt: skip

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.session.query(f"INSERT INTO otel.{table} FORMAT JSONEachRow " + "\n".join(map(json.dumps, rows)))

    def close(self) -> None:
        self.session.close()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        for name, value in (parameters or {}).items():
            shown = (
                f"toDateTime64('{value:%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
                if isinstance(value, datetime)
                else repr(value)
            )
            sql = re.sub(r"\{" + name + r":[^}]*\}", shown, sql)
        return pa.ipc.open_file(pa.BufferReader(self.session.query(sql, "Arrow").bytes())).read_all()

    def red_levels(self, window: Window) -> pa.Table:
        return self.query(
            """SELECT toStartOfInterval(toDateTime(Timestamp + toIntervalNanosecond(Duration), 'UTC'), INTERVAL 5 SECOND) AS bucket,
            toString(ServiceName) AS service, toString(SpanName) AS operation, toInt64(count()) AS calls, toInt64(countIf(StatusCode = 'Error')) AS errors,
            avg(Duration) / 1e6 AS mean_ms FROM otel.otel_traces WHERE SpanKind = 'Server' AND Timestamp >= {start:x} AND Timestamp < {end:x}
            GROUP BY ALL ORDER BY bucket""",
            {"start": window.start, "end": window.end},
        )

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        at = f"toStartOfInterval(toDateTime(c.Timestamp + toIntervalNanosecond(c.Duration), 'UTC'), INTERVAL {step_s} SECOND) AS bucket"
        complete = (
            int(window.end.timestamp() - self.edges_behind_s) // step_s * step_s if self.edges_behind_s else 2**32 - 1
        )
        until = f"HAVING toUnixTimestamp(bucket) < {complete}"
        return self.query(
            f"""SELECT {at}, toString(c.ServiceName) AS caller, toString(s.ServiceName) AS callee, toInt64(count()) AS calls,
            toInt64(countIf(c.StatusCode = 'Error')) AS errors, avg(c.Duration) / 1e6 AS client_mean_ms, avg(s.Duration) / 1e6 AS server_mean_ms,
            'span' AS source FROM (SELECT * FROM otel.otel_traces WHERE SpanKind = 'Client' AND Timestamp >= {{start:x}} AND Timestamp < {{end:x}}) AS c
            INNER JOIN (SELECT * FROM otel.otel_traces WHERE SpanKind = 'Server') AS s ON c.SpanId = s.ParentSpanId GROUP BY ALL {until}
            UNION ALL
            SELECT {at}, toString(c.ServiceName) AS caller,
            {PEER_SQL} AS callee, toInt64(count()) AS calls,
            toInt64(countIf(c.StatusCode = 'Error')) AS errors, avg(c.Duration) / 1e6 AS client_mean_ms, nan AS server_mean_ms, 'attribute' AS source
            FROM otel.otel_traces AS c WHERE SpanKind = 'Client' AND Timestamp >= {{start:x}} AND Timestamp < {{end:x}} GROUP BY ALL {until}""",
            {"start": window.start, "end": window.end},
        )

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        return self.query(
            f"""SELECT toStartOfInterval(toDateTime(TimeUnix, 'UTC'), INTERVAL {step_s} SECOND) AS bucket, toString(ServiceName) AS service,
            MetricName AS metric, '{{}}' AS attributes, avg(Value) AS value, 'gauge' AS kind FROM otel.otel_metrics_gauge
            WHERE TimeUnix >= {{start:x}} AND TimeUnix < {{end:x}} GROUP BY ALL ORDER BY bucket""",
            {"start": window.start, "end": window.end},
        )
