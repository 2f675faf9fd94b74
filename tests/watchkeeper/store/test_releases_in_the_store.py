"""Which versions run, read from the resource attributes of stored telemetry."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from bench.own_roles import OwnRoles
from collectors.releases import Releases
from watchkeeper.store.statements import Statements

pytestmark = pytest.mark.xdist_group("store")
NOW = datetime.now(UTC).replace(microsecond=0)


def test_a_new_version_in_any_signal_is_found(roles: OwnRoles, loader: Statements) -> None:
    """Spans name the old version, spans and metrics the new one; runtime and SDK versions are not the service's."""
    service = "pay-" + secrets.token_hex(3)

    def resource(version: str, instance: str) -> dict[str, str]:
        return {
            "service.version": version,
            "service.instance.id": instance,
            "telemetry.sdk.version": version + version,
            "vcs.ref.head.revision": "c" + version,
        }

    spans = [
        {"Timestamp": _at(second), "ServiceName": service, "SpanKind": "Server", "Duration": 1000}
        | {"ResourceAttributes": resource("1" if second < 250 else "2", "a" if second < 250 else "b")}
        for second in range(0, 290, 10)
    ]
    points = [
        {"TimeUnix": _at(255), "ServiceName": service, "MetricName": "m", "Value": 1.0}
        | {"ResourceAttributes": resource("2", "b")}
    ]
    for table, rows in (("otel_traces", spans), ("otel_metrics_gauge", points)):
        loader.run(f"INSERT INTO otel.{table} FORMAT JSONEachRow", "\n".join(map(json.dumps, rows)).encode())
    noticed = Releases().look(roles.telemetry, NOW.timestamp(), ())
    (change,) = (change for change in noticed if change.service == service)
    assert (change.kind, change.title) == ("deploy", "service.version 1 → 2")
    assert change.attributes["vcs.ref.head.revision"] == "c1 → c2"
    assert set(change.attributes) == {"source", "service.version", "vcs.ref.head.revision"}
    assert change.at == NOW - timedelta(seconds=300 - 250)


def _at(second: float) -> str:
    return f"{NOW - timedelta(seconds=300 - second):%Y-%m-%d %H:%M:%S.%f}"
