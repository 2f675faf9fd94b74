"""`watchkeeper bench rest`: what every role together costs while nothing is wrong.

1. Starts every role, on free ports, in a temporary folder, as `watchkeeper up` would with a new configuration.
2. Twelve services send as OpenTelemetry's SDKs do by default: each its spans every five seconds or when it has 512
   (two sides a call), its log lines once a second (a tenth of the spans); and, more often than they do, thirty metric
   points (gauges, sums, histograms) every ten seconds.
3. After a warm-up, counts each role's CPU seconds, memory and statements over the measured time.

CPU seconds are of one core and don't depend on how busy the machine is, caches aside.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bench.own_roles import OwnRoles, cpu_seconds
from bench.span_load import SERVICES, SpanLoad
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.store.telemetry import Telemetry

ROLES: Final = ("store", "ingest", "standin", "watch", "web")
METRICS_EVERY_S: Final = 10
SPANS_EVERY_S: Final = 5  # OTEL_BSP_SCHEDULE_DELAY
LARGEST_BATCH: Final = 512  # OTEL_BSP_MAX_EXPORT_BATCH_SIZE
POINTS: Final = 10  # of each of three kinds, a service and interval
LINES_A_SPAN: Final = 0.1
PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One role: CPU in cores; memory in MB, with all that it shares (`rss`), and with its part of that (`pss`)."""

    cpu: float
    rss_mb: float
    pss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run."""

    spans_per_s: float
    seconds: float
    cpu: float
    rss_mb: float
    pss_mb: float
    roles: dict[str, Cost]
    inserts_per_s: float
    insert_mean_s: float
    reads_per_s: float
    read_mean_s: float
    tick_mean_s: float
    visible_after_s: float
    spans_lost: int


def run(*, rate: int, seconds: float, as_json: bool) -> None:
    """Measure, and print the result."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as folder:
        result = measure(Path(folder), rate=rate, seconds=seconds)
    if as_json:
        print(json.dumps(asdict(result)))
        return
    for role, cost in result.roles.items():
        print(f"{role:<16} {cost.cpu:6.3f} cores  {cost.rss_mb:6.0f} MB, {cost.pss_mb:6.0f} MB of its own")
    for name, value in asdict(result).items():
        if name != "roles":
            print(f"{name:<16} {value:,.3f}" if isinstance(value, float) else f"{name:<16} {value:,}")


def measure(
    folder: Path, *, rate: int, seconds: float, warm_up_s: float = 90.0, roles: Sequence[str] = ROLES
) -> Result:
    """The cost of `seconds` at `rate` spans a second, after a warm-up."""
    changes: dict[str, dict[str, Any]] = {"web": {"port": free_port()}, "slack": {"stand_in": {"port": free_port()}}}
    with OwnRoles(folder, changes) as own:
        own.start(*roles)
        processes = {role: psutil.Process(own.processes[role].pid) for role in roles}
        load, telemetry = _Load(own.otlp_url, rate), own.telemetry
        load.start()
        time.sleep(warm_up_s)
        before, counted, sent, began = cpu_seconds(processes), _counters(own), load.spans, time.monotonic()
        visible: list[float] = []
        while (now := time.monotonic()) - began < seconds:
            time.sleep(min(15.0, seconds + began - now))
            visible.append(_visible_after_s(telemetry))
        took = time.monotonic() - began
        after, counts, offered = cpu_seconds(processes), _counters(own), load.spans - sent
        memory = {role: process.memory_full_info() for role, process in processes.items()}
        load.stop()
        lost = _lost(telemetry, load.spans)
    costs = {
        role: Cost(
            cpu=(after[role] - before[role]) / took, rss_mb=memory[role].rss / 1e6, pss_mb=memory[role].pss / 1e6
        )
        for role in roles
    }
    grown = {name: counts[name] - counted.get(name, 0.0) for name in counts}

    def mean(name: str) -> float:
        return grown.get(f"{name}_sum", 0.0) / max(1.0, grown.get(f"{name}_count", 0.0))

    writes, reads = (f"watchkeeper_store_query_seconds {user}" for user in ("loader", "watchkeeper"))
    return Result(
        spans_per_s=offered / took,
        seconds=took,
        cpu=sum(cost.cpu for cost in costs.values()),
        rss_mb=sum(cost.rss_mb for cost in costs.values()),
        pss_mb=sum(cost.pss_mb for cost in costs.values()),
        roles=costs,
        inserts_per_s=grown.get(f"{writes}_count", 0.0) / took,
        insert_mean_s=mean(writes),
        reads_per_s=grown.get(f"{reads}_count", 0.0) / took,
        read_mean_s=mean(reads),
        tick_mean_s=mean("watchkeeper_detector_tick_seconds "),
        visible_after_s=sorted(visible)[len(visible) // 2],
        spans_lost=lost,
    )


def _counters(own: OwnRoles) -> dict[str, float]:
    """Sums and counts of histograms, as `name user_sum` or `name _sum`, of the store and the watch role."""
    health = ready.read(own.config, "watch")
    ports = [own.config.store.port, *([health.ports["health"]] if health else [])]
    found: dict[str, float] = {}
    for port in ports:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        for name, what, user, value in re.findall(
            r'^(\w+?_seconds)_(sum|count)(?:\{user="(\w+)"\})? (\S+)$', text, re.MULTILINE
        ):
            found[f"{name} {user}_{what}"] = float(value)
    return found


def _visible_after_s(telemetry: Telemetry) -> float:
    """How old the newest span is that can be read."""
    now = datetime.now(UTC)
    newest = telemetry.query("SELECT max(Timestamp) AS newest FROM otel_traces WHERE Timestamp > now() - 60")
    seen: datetime = newest["newest"][0].as_py().replace(tzinfo=UTC)
    return max(0.0, (now - seen).total_seconds())


def _lost(telemetry: Telemetry, sent: int) -> int:
    """Spans that were acked and are not stored once the store has had time."""
    stored, since = -1, time.monotonic()
    while stored < sent and time.monotonic() - since < 30:
        time.sleep(1)
        count = telemetry.query(
            "SELECT count() AS n FROM otel_traces WHERE ServiceName LIKE 'service-%' AND Timestamp > now() - 3600"
        )
        stored = int(count["n"][0].as_py())
    return sent - stored


class _Load(threading.Thread):
    """Twelve services, one after the other, so that each sends by its own interval."""

    def __init__(self, url: str, rate: int) -> None:
        super().__init__(name="load")
        self._url, self._rate = url, rate
        self._stopping = threading.Event()
        self.spans = 0  # acked

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        a_second = self._rate / SERVICES
        every_s = min(SPANS_EVERY_S, LARGEST_BATCH / a_second)
        size = max(2, round(a_second * every_s / 2) * 2)
        load, began, number, batches = SpanLoad(seed=7, size=size), time.monotonic(), 0, 0
        with httpx.Client(base_url=self._url, headers=PROTOBUF, trust_env=False, timeout=30) as client:
            while not self._stopping.is_set():
                service, second = number % SERVICES, number // SERVICES
                while batches * every_s <= number:
                    self._post(client, "traces", load.request())
                    self.spans += size
                    batches += 1
                self._post(client, "logs", _lines(service, max(1, int(a_second * LINES_A_SPAN))))
                if second % METRICS_EVERY_S == service % METRICS_EVERY_S:
                    self._post(client, "metrics", _points(service, number))
                number += 1
                self._stopping.wait(max(0.0, began + number / SERVICES - time.monotonic()))

    def _post(self, client: httpx.Client, signal: str, body: bytes) -> None:
        client.post(f"/v1/{signal}", content=body).raise_for_status()


def _lines(service: int, count: int) -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = f"service-{service:02d}"
    scope = resource.scope_logs.add()
    now = time.time_ns()
    for index in range(count):
        record = scope.log_records.add(time_unix_nano=now + index, severity_number=9, severity_text="INFO")
        record.body.string_value = f"handled request {now % 1_000_000 + index} of user {index} in {now % 97} ms"
    return bytes(request.SerializeToString())


def _points(service: int, number: int) -> bytes:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = f"service-{service:02d}"
    scope = resource.scope_metrics.add()
    now = time.time_ns()
    began = now - number * 10**9
    for index in range(POINTS):
        gauge = scope.metrics.add(name=f"runtime.level.{index}").gauge.data_points.add(time_unix_nano=now)
        gauge.as_double = 100 + (number * 7 + index) % 13
        total = scope.metrics.add(name=f"requests.total.{index}").sum
        total.aggregation_temporality, total.is_monotonic = 2, True
        total.data_points.add(time_unix_nano=now, start_time_unix_nano=began).as_int = number * (index + 1)
        spread = scope.metrics.add(name=f"request.duration.{index}").histogram
        spread.aggregation_temporality = 2
        spread.data_points.add(
            time_unix_nano=now,
            start_time_unix_nano=began,
            count=number * 10,
            sum=number * 12.5,
            explicit_bounds=[1, 2, 5, 10],
            bucket_counts=[number * 2] * 5,
        )
    return bytes(request.SerializeToString())
