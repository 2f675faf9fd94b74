"""Segments that a real engine refuses, beside good ones: the good are stored, whatever the bad ones are."""

from __future__ import annotations

import secrets
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scripted_store import QUICK, is_empty, open_log

from bench.own_roles import OwnRoles, loader_of
from collectors.ingest_log import quarantine
from collectors.ingest_log.framing import framed, records
from collectors.ingest_log.loader import Loader
from collectors.ingest_log.segments import IngestLog
from tests.waiting import until
from watchkeeper.problems import Problems, read_problems
from watchkeeper.store.preparation import prepare

pytestmark = pytest.mark.xdist_group("small-store")
DAY_NS = 86_400 * 10**9


def spans(service: str, count: int, attribute_bytes: int = 0, days_apart: int = 0) -> bytes:
    """One request: spans under one resource, with an attribute of that size, each so many days before the last."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    if attribute_bytes:
        resource.resource.attributes.add(key="large").value.string_value = "x" * attribute_bytes
    scope = resource.scope_spans.add()
    for index in range(count):
        start = time.time_ns() - index * days_apart * DAY_NS
        scope.spans.add(
            trace_id=secrets.token_bytes(16),
            span_id=secrets.token_bytes(8),
            name="GET /",
            kind=2,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 1_000_000,
        )
    return bytes(request.SerializeToString())


def inside(*path: int, field: bytes) -> bytes:
    """A field, wrapped into messages by these field numbers, outermost first."""
    for number in reversed(path):
        field = bytes([number << 3 | 2, len(field)]) + field
    return field


# Fields of another wire type than OTLP's: the protobuf runtime takes them for unknown ones, the engine's decoder fails.
WRONG_TYPES: Mapping[str, bytes] = {
    "name as varint": inside(1, 2, 2, field=b"\x28\x05"),
    "start time as varint": inside(1, 2, 2, field=b"\x38\x05"),
    "start time as fixed32": inside(1, 2, 2, field=b"\x3d\x01\x02\x03\x04"),
    "attributes as varint": inside(1, 2, 2, field=b"\x48\x05"),
    "status as varint": inside(1, 2, 2, field=b"\x78\x01"),
    "resource as varint": inside(1, field=b"\x08\x05"),
    "scope spans as fixed64": inside(1, field=b"\x11" + b"\x01" * 8),
    "resource spans as varint": b"\x08\x05",
    "an unknown group": inside(1, 2, 2, field=b"\xa3\x06\x08\x01\xa4\x06"),
    "no protobuf": b"\x01\x02\x03",
}


class Loading:
    """A log and a loader of its own on a shared store."""

    def __init__(self, roles: OwnRoles, folder: Path, segment_bytes: int = 1 << 20) -> None:
        self.folder = folder
        self.log: IngestLog = open_log(folder, segment_bytes)
        self.problems = Problems(None)
        self._telemetry = roles.telemetry
        config = roles.config
        store = loader_of(config)

        def into() -> Any:
            return prepare(store, database="otel", memory_mib=config.store.memory_mib, retention_days=7)

        self._loader = Loader(self.log, store, into, self.problems, QUICK)

    def load(self) -> None:
        """Load until nothing waits."""
        self.log.close()
        thread = threading.Thread(target=self._loader.run)
        thread.start()
        try:
            until(lambda: is_empty(self.folder))
        finally:
            self._loader.stop()
            thread.join()

    def count(self, service: str, table: str = "otel_traces") -> int:
        """Rows of a service."""
        sql = f"SELECT count() AS n FROM {table} WHERE ServiceName = {{s:String}}"
        return int(self._telemetry.query(sql, {"s": service})["n"][0].as_py())


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_what_the_decoder_refuses_costs_nobody_else_a_span(small_store: OwnRoles, tmp_path: Path, kind: str) -> None:
    """A request that only the engine refuses is quarantined alone, with its sender; its neighbours are stored once."""
    service = "good-" + secrets.token_hex(3)
    loading = Loading(small_store, tmp_path)
    for index in range(8):
        loading.log.append("traces", spans(service, 10), sender="good")
        if index == 4:
            loading.log.append("traces", WRONG_TYPES[kind], sender="10.1.2.3")
    loading.load()
    assert loading.count(service) == 80
    (refused,) = quarantine.listed(tmp_path)
    assert (refused.senders, refused.requests) == (("10.1.2.3",), 1)
    assert quarantine.read_requests(tmp_path, refused.name)[1] == [WRONG_TYPES[kind]]
    assert [problem.loop for problem in loading.problems.current()] == ["loader"]


def test_a_log_request_that_the_decoder_refuses_is_alone_in_quarantine(small_store: OwnRoles, tmp_path: Path) -> None:
    """The same for logs, in which no ids tell what is stored."""
    service = "lines-" + secrets.token_hex(3)
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    resource.scope_logs.add().log_records.add(time_unix_nano=time.time_ns()).body.string_value = "hello"
    loading = Loading(small_store, tmp_path)
    loading.log.append("logs", request.SerializeToString())
    loading.log.append("logs", inside(1, 2, 2, field=b"\x08\x05"))
    loading.load()
    assert loading.count(service, "otel_logs") == 1
    assert len(quarantine.listed(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_small_request_that_becomes_huge_is_divided_until_it_fits(small_store: OwnRoles, tmp_path: Path) -> None:
    """Rows of three times the store's memory from one request: all are stored, once, and the traffic beside it, too."""
    mark = secrets.token_hex(3)
    loading = Loading(small_store, tmp_path)
    for _ in range(4):
        loading.log.append("traces", spans(f"good-{mark}", 10))
    loading.log.append("traces", spans(f"large-{mark}", 3200, attribute_bytes=256 << 10))
    loading.load()
    assert (loading.count(f"good-{mark}"), loading.count(f"large-{mark}")) == (40, 3200)
    assert quarantine.listed(tmp_path) == []


def test_spans_all_over_the_calendar_are_left_out_and_named(small_store: OwnRoles, tmp_path: Path) -> None:
    """Of one request with spans on 20,000 days, those that the store keeps are stored; the sender is named."""
    mark = secrets.token_hex(3)
    loading = Loading(small_store, tmp_path)
    loading.log.append("traces", spans(f"good-{mark}", 10))
    loading.log.append("traces", spans(f"old-{mark}", 20_000, days_apart=1), sender="10.9.9.9")
    loading.load()
    assert loading.count(f"good-{mark}") == 10
    assert 7 <= loading.count(f"old-{mark}") <= 9
    (problem,) = loading.problems.current()
    assert f"old-{mark} from 10.9.9.9" in problem.subject
    assert "clock" in problem.reason


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_running_installation_goes_on_past_a_bad_segment(tmp_path: Path) -> None:
    """A segment of before a restart that can't be read as a whole: what is good in it and after it is stored."""
    folder = tmp_path / "data" / "ingest-log"
    folder.mkdir(parents=True)
    bad = framed([spans("before", 7), WRONG_TYPES["an unknown group"], spans("before", 5)])
    (folder / f"{time.time_ns():020d}-0badc0de.traces.all.ready").write_bytes(bad)
    with OwnRoles(tmp_path, {"ingest": {"segment_seconds": 0.2}}) as roles:
        roles.start("store", "ingest")
        request = urllib.request.Request(
            f"{roles.otlp_url}/v1/traces", spans("after", 3), {"Content-Type": "application/x-protobuf"}
        )
        urllib.request.urlopen(request, timeout=60).close()

        def stored(service: str) -> int:
            return int(
                roles.telemetry.query(
                    "SELECT count() AS n FROM otel_traces WHERE ServiceName = {s:String}", {"s": service}
                )["n"][0].as_py()
            )

        until(lambda: (stored("before"), stored("after")) == (12, 3))
        until(lambda: len(quarantine.listed(folder)) == 1)
        until(lambda: [p.loop for p in read_problems(tmp_path / "data" / "run").get("ingest", ())] == ["loader"])


def test_what_was_quarantined_by_an_earlier_version_can_be_retried(small_store: OwnRoles, tmp_path: Path) -> None:
    """A whole segment that was set aside without a note is listed, put back, and stored but for the guilty."""
    service = "old-" + secrets.token_hex(3)
    loading = Loading(small_store, tmp_path)
    loading.log.append("traces", spans(service, 5))
    loading.log.append("traces", WRONG_TYPES["name as varint"])
    loading.log.close()
    (path,) = tmp_path.glob("*.ready")
    path.rename(path.with_suffix(".refused"))
    (found,) = quarantine.listed(tmp_path)
    assert (found.requests, found.reason, found.services) == (2, quarantine.UNKNOWN, (service,))
    quarantine.retry(tmp_path, found.name)
    again = Loading(small_store, tmp_path)
    again.load()
    assert again.count(service) == 5
    (path,) = tmp_path.glob("*.refused")
    assert records(path.read_bytes()) == [WRONG_TYPES["name as varint"]]
