"""A system with known troubles, for readers who look for them: what is injected here is what the tasks ask for.

Forty minutes of two requests a second. `web` serves GET /checkout through `orders`, `payments` and the database
`ledger`, and GET /catalog through `catalog` and a Redis. Since ten minutes payments runs 2.4.0, which refuses a third
of the cards; since twenty-five minutes catalog is slow on the host node-7; twenty minutes ago `billing` fell silent;
the disk of node-3 fills. The ten minutes to come are injected, too: to readers, it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from bench.own_roles import OwnRoles, loader_of
from tests.browser.conftest import open_incident
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import Config
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.state.changes import record_change
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, ChangeEvent

ORDER: Final = "4713"  # a request of 2.4.0 whose card was refused
# Each request is a row of `numbers`, each of its spans an element of `part`.
CHECKOUTS: Final = """
INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration,
    StatusCode, StatusMessage, ResourceAttributes, SpanAttributes,
    `Events.Timestamp`, `Events.Name`, `Events.Attributes`)
WITH number > 1800 AND number % 3 = 0 AS refused, number > 1800 AS new,
    fromUnixTimestamp64Nano(toInt64(({now} - 2400 + number) * 1e9)) AS start
SELECT start + toIntervalMillisecond(2 * part), hex(sipHash128('o', number)), hex(sipHash64('o', number, part)),
    if(part = 0, '', hex(sipHash64('o', number, toUInt8(part - 1)))),
    ['GET /checkout', 'POST', 'POST /orders', 'POST', 'POST /charge', 'SELECT accounts'][part + 1],
    ['Server', 'Client', 'Server', 'Client', 'Server', 'Client'][part + 1],
    ['web', 'web', 'orders', 'orders', 'payments', 'payments'][part + 1],
    toUInt64([60, 56, 52, 48, 44, 30][part + 1] * 1000000),
    if(refused AND part < 5, 'Error', 'Unset'), if(refused AND part = 4, 'card refused by acquirer', ''),
    map('service.version', if(part < 4, '1.0.0', if(new, '2.4.0', '2.3.1')),
        'host.name', concat('node-', toString(number % 3 + 1))),
    multiIf(part = 0, map('order.id', toString(2871 + number), 'http.route', '/checkout'),
        part = 5, map('db.system.name', 'postgresql', 'server.address', 'ledger'),
        map('http.route', '/charge')),
    if(refused AND part = 4, [start], []), if(refused AND part = 4, ['exception'], []),
    if(refused AND part = 4, [map('exception.type', 'CardRefused', 'exception.message', 'acquirer said no')], [])
FROM numbers(3000) ARRAY JOIN [0, 1, 2, 3, 4, 5] AS part
"""
CATALOG: Final = """
INSERT INTO otel.otel_traces
    (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration,
    ResourceAttributes, SpanAttributes)
WITH number % 4 = 3 AND number > 900 AS slow
SELECT fromUnixTimestamp64Nano(toInt64(({now} - 2400 + number + 0.5) * 1e9)) + toIntervalMillisecond(2 * part),
    hex(sipHash128('c', number)), hex(sipHash64('c', number, part)),
    if(part = 0, '', hex(sipHash64('c', number, toUInt8(part - 1)))),
    ['GET /catalog', 'GET', 'GET /items', 'GET item'][part + 1], ['Server', 'Client', 'Server', 'Client'][part + 1],
    ['web', 'web', 'catalog', 'catalog'][part + 1],
    toUInt64(if(slow, [1230, 1220, 1200, 8], [30, 26, 20, 8])[part + 1] * 1000000),
    map('service.version', '1.0.0', 'host.name', concat('node-', toString(if(part < 2, 1, number % 4 + 4)))),
    if(part = 3, map('db.system.name', 'redis', 'server.address', 'cache'), map('http.route', '/catalog'))
FROM numbers(3000) ARRAY JOIN [0, 1, 2, 3] AS part
"""
BILLING: Final = """
INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, Duration, ResourceAttributes)
SELECT fromUnixTimestamp64Nano(toInt64(({now} - 2400 + number) * 1e9)), hex(sipHash128('b', number)),
    hex(sipHash64('b', number)), 'POST /invoice', 'Server', 'billing', 15000000,
    map('service.version', '0.9.0', 'host.name', 'node-1')
FROM numbers(1200)
"""
EDGES: Final = """
INSERT INTO otel.edges (bucket, caller, callee, source, calls, errors, client_ns_sum, server_calls, server_ns_sum)
SELECT toDateTime(intDiv({now} - 2400 + number * 5, 5) * 5), pair.1, pair.2, 'span', 5,
    if(number > 360 AND pair.3, 2, 0),
    toUInt64(5 * if(pair.2 = 'catalog' AND number > 180, 330, 50) * 1000000), 5, toUInt64(5 * 45000000)
FROM numbers(600) ARRAY JOIN
    [('web', 'orders', 1), ('orders', 'payments', 1), ('web', 'catalog', 0), ('payments', 'ledger', 0),
    ('catalog', 'cache', 0)] AS pair
"""
LOGS: Final = """
INSERT INTO otel.otel_logs
    (Timestamp, TraceId, ServiceName, SeverityText, SeverityNumber, Body, ResourceAttributes, LogAttributes)
WITH number > 1800 AND number % 3 = 0 AS refused
SELECT fromUnixTimestamp64Nano(toInt64(({now} - 2400 + number + 0.02) * 1e9)), hex(sipHash128('o', number)), 'payments',
    if(refused, 'ERROR', 'INFO'), if(refused, 17, 9),
    concat(if(refused, 'card refused by acquirer for order ', 'charged order '), toString(2871 + number)),
    map('host.name', concat('node-', toString(number % 3 + 1))), map('acquirer', if(refused, 'northbank', 'eastbank'))
FROM numbers(3000)
UNION ALL
SELECT fromUnixTimestamp64Nano(toInt64(({now} - 2400 + number) * 1e9)), '', 'catalog', 'WARN', 13,
    concat('read of item ', toString(number), ' timed out after 1200 ms'), map('host.name', 'node-7'), map()
FROM numbers(3000) WHERE number % 4 = 3 AND number > 900
"""
DISKS: Final = """
INSERT INTO otel.otel_metrics_gauge
    (TimeUnix, ServiceName, MetricName, MetricDescription, MetricUnit, Value, ResourceAttributes, Attributes)
SELECT fromUnixTimestamp64Nano(toInt64({now} - 2400 + number * 10) * 1000000000), 'host-agent',
    'system.filesystem.utilization', 'Share of a file system that is used', '1',
    if(node = 3, 0.55 + number * 0.0014, 0.4 + node * 0.02),
    map('service.name', 'host-agent', 'host.name', concat('node-', toString(node))),
    map('mountpoint', '/data', 'host', concat('node-', toString(node)))
FROM numbers(300) ARRAY JOIN range(1, 8) AS node
"""
OBJECTIVE: Final = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, displayName: Checkout works}
spec:
  service: web
  budgetingMethod: Occurrences
  timeWindow: [{duration: 7d, isRolling: true}]
  indicator:
    metadata: {name: checkouts-that-succeed}
    spec:
      ratioMetric:
        good: {metricSource: {type: watchkeeper, spec: {service: web, operation: GET /checkout, signal: successes}}}
        total: {metricSource: {type: watchkeeper, spec: {service: web, operation: GET /checkout, signal: calls}}}
  objectives: [{displayName: works, target: 0.99}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigated:
    """The running web role over the system, with the incident of payments that is open and the one before it."""

    url: str
    token: str
    incident_id: str
    earlier_id: str
    roles: OwnRoles
    incidents: Incidents


@contextmanager
def investigated(folder: Path) -> Iterator[Investigated]:
    """Start the store and the web role, and inject everything."""
    people = [
        {"id": "ana", "name": "Ana Sousa", "addresses": {"slack": "UANA"}},
        {"id": "ben", "name": "Ben Okoro", "addresses": {"slack": "UBEN"}},
    ]
    schedule = {"id": "primary", "layers": [{"people": ["ana", "ben"], "turn_hours": 24}], "fallback": "ben"}
    (folder / "checkout.yaml").write_text(OBJECTIVE)
    changes = {
        "chaos": {"folder": str(folder / "experiments")},
        "web": {"port": free_port()},
        "slack": {"stand_in": {"enabled": False}},
        "slo": [str(folder / "checkout.yaml")],
        "oncall": {"people": people, "schedules": [schedule], "escalation": [{"after_s": 0, "notify": "primary"}]},
    }
    (folder / "experiments").mkdir()
    with OwnRoles(folder, changes) as own:
        own.start("store")
        store = loader_of(own.config)
        now = int(datetime.now(UTC).timestamp())
        for statement in (CHECKOUTS, CATALOG, BILLING, EDGES, LOGS, DISKS):
            store.run(statement.replace("{now}", str(now)), b"")
        database = Database.open(own.config)
        incidents = Incidents(database, SystemClock(), own.config.oncall)
        earlier = _earlier(database, own.config)
        deployed = datetime.now(UTC) - timedelta(minutes=10)
        record_change(
            database, ChangeEvent(id="d-1", at=deployed, kind="deploy", service="payments", title="payments 2.4.0")
        )
        incident_id = open_incident(incidents, "payments")
        ready.announce(own.config, "watch", {})
        own.start("web")
        yield Investigated(
            url=f"http://127.0.0.1:{own.config.web.port}",
            token=own.config.secret("commands"),
            incident_id=incident_id,
            earlier_id=earlier,
            roles=own,
            incidents=incidents,
        )
        database.close()


def _earlier(database: Database, config: Config) -> str:
    """An incident of the same service two days ago. Ana resolved it, with its cause."""
    then = datetime.now(UTC) - timedelta(days=2)
    incidents = Incidents(database, FrozenClock(then), config.oncall)
    who = Actor(name="Ana Sousa", via="slack")
    incident_id = open_incident(incidents, "payments", then)
    incidents.acknowledge(incident_id, who, "earlier:ack")
    incidents.observe([], now=then + timedelta(minutes=4))
    note = "Rolled back to 2.2.0, whose client the acquirer knows."
    verdict = Judgement(cause="payments", mechanism="deploy", warranted=True, note=note)
    incidents.resolve(incident_id, who, "earlier:resolve", verdict)
    return incident_id
