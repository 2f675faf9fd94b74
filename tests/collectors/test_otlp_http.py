"""OTLP over HTTP as its specification says: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.own_roles import OwnRoles
from watchkeeper.errors import WatchkeeperError

pytestmark = pytest.mark.xdist_group("collectors")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
Rows = Callable[..., list[dict[str, Any]]]
SPANS = (
    "SELECT TraceId AS trace, SpanName AS name, SpanAttributes AS attributes FROM otel_traces "
    "WHERE ServiceName = {s:String}"
)


def request(service: str, name: str = "GET /") -> ExportTraceServiceRequest:
    """One span."""
    whole = ExportTraceServiceRequest()
    resource = whole.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    span = resource.scope_spans.add().spans.add(
        name=name, kind=2, trace_id=b"\x5b" * 16, span_id=secrets.token_bytes(8)
    )
    span.start_time_unix_nano = time.time_ns() - 5_000_000
    span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
    return whole


def test_it_works(http: httpx.Client, rows: Rows) -> None:
    """A protobuf request is answered 200 with an empty ExportTraceServiceResponse, and is in the store soon."""
    service = secrets.token_hex(4)
    answer = http.post("/v1/traces", content=request(service).SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    assert [(row["trace"], row["name"]) for row in rows(SPANS, s=service)] == [("5b" * 16, "GET /")]


def test_gzip_is_taken(http: httpx.Client, rows: Rows) -> None:
    """A gzipped body is unzipped before it is kept."""
    service = secrets.token_hex(4)
    body = gzip.compress(request(service).SerializeToString())
    answer = http.post("/v1/traces", content=body, headers=PROTOBUF | {"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert len(rows(SPANS, s=service)) == 1


def test_json_is_taken(http: httpx.Client, rows: Rows) -> None:
    """OTLP/JSON: ids in hex, 64-bit numbers as text, enums as numbers, unknown fields ignored; the reply is JSON."""
    service = secrets.token_hex(4)
    values = [{"stringValue": "x"}, {"intValue": "7"}]
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "name": "from json",
        "kind": 2,
        "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns() + 1000),
        "attributes": [{"key": "list", "value": {"arrayValue": {"values": values}}}],
        "somethingNew": {"a": 1},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    answer = http.post("/v1/traces", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    (row,) = rows(SPANS, s=service)
    assert (row["trace"], row["name"]) == ("5b8efff798038103d269b633813fc60c", "from json")
    assert json.loads(dict(row["attributes"])["list"]) == ["x", 7]


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_an_empty_request_is_fine(http: httpx.Client, signal: str) -> None:
    """Nothing to store is no mistake, in either encoding."""
    assert http.post(f"/v1/{signal}", content=b"", headers=PROTOBUF).status_code == 200
    assert http.post(f"/v1/{signal}", content=b"{}", headers=JSON).status_code == 200


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize("body", [b"junk", b"\x0a\xff\xff", b"\x0a\x04\x12\x02\x0a\xff"])
def test_malformed_protobuf_is_a_400_with_the_reason(http: httpx.Client, signal: str, body: bytes) -> None:
    """The reply's body is a google.rpc.Status in protobuf."""
    answer = http.post(f"/v1/{signal}", content=body, headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/x-protobuf")
    assert "not an OTLP" in Status.FromString(answer.content).message


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_malformed_json_is_a_400_with_the_reason(http: httpx.Client, body: bytes) -> None:
    """The reply's body is a Status in JSON."""
    answer = http.post("/v1/traces", content=body, headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["message"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), kind=st.sampled_from([PROTOBUF, JSON]), signal=st.sampled_from(["traces", "logs"]))
def test_no_bytes_cause_a_server_error(http: httpx.Client, body: bytes, kind: dict[str, str], signal: str) -> None:
    """Any body is either a request or a 400."""
    assert http.post(f"/v1/{signal}", content=body, headers=kind).status_code in (200, 400)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415),
        ({}, b"x", 415),
        (PROTOBUF | {"Content-Encoding": "br"}, b"x", 415),
        (PROTOBUF | {"Content-Encoding": "gzip, gzip"}, b"x", 415),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"not gzip", 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(b"\x0a" * 100, mtime=0)[:-12], 400),
        (PROTOBUF, b"\x0a" * (2 << 20), 413),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(b"\x0a" * (64 << 20), mtime=0), 413),
    ],
)
def test_what_is_not_otlp_is_refused(http: httpx.Client, headers: dict[str, str], body: bytes, status: int) -> None:
    """Wrong type, unknown or broken encoding, too large, and a small body that would unzip to a huge one."""
    assert http.post("/v1/traces", content=body, headers=headers).status_code == status


def test_only_post_exports(http: httpx.Client) -> None:
    """GET on an export path is 405 with Allow; an unknown path is 404 and names the known ones."""
    answer = http.get("/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "/v1/traces" in http.post("/v2/traces").json()["error"]


def test_health_and_metrics(http: httpx.Client) -> None:
    """The role says that it lives, that it is ready, and counts what it did."""
    assert [http.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    http.post("/v1/traces", content=b"junk", headers=PROTOBUF)
    text = http.get("/metrics").text
    assert 'watchkeeper_otlp_requests_total{outcome="malformed",signal="traces"}' in text
    assert "watchkeeper_ingest_backlog_bytes" in text


def test_a_client_that_leaves_harms_nobody(roles: OwnRoles, http: httpx.Client) -> None:
    """A connection that closes in the middle of a body is forgotten."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", roles.config.ingest.otlp_http_port)) as connection:
            connection.sendall(
                b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n"
                b"content-length: 1000\r\n\r\nhalf"
            )
    assert http.get("/healthz").status_code == 200
    assert "Traceback" not in roles.log("ingest")


def test_overload_is_429_with_retry_after_and_ends(tmp_path: Path) -> None:
    """Without a store the backlog fills: then 429 says when to come back, and what was acked arrives later."""
    changes = {"ingest": {"segment_seconds": 0.1, "max_backlog_mib": 16, "segment_mib": 1, "max_value_kib": 1024}}
    with OwnRoles(tmp_path, changes) as own, httpx.Client(base_url=own.otlp_url, trust_env=False, timeout=30) as client:
        own.start("ingest")
        acked = 0

        def big() -> bytes:  # another one each time: what was sent before is not stored again
            return request(f"big-{acked}", "x" * 1_000_000).SerializeToString()

        while (answer := client.post("/v1/traces", content=big(), headers=PROTOBUF)).status_code == 200:
            acked += 1
            assert acked < 40
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert "max_backlog_mib" in Status.FromString(answer.content).message
        assert client.get("/readyz").status_code == 503
        assert 'outcome="overloaded",signal="traces"} 1.0' in client.get("/metrics").text
        own.start("store")
        deadline = time.monotonic() + 60
        spans = 0
        while spans < acked and time.monotonic() < deadline:
            spans = own.telemetry.query("SELECT count() AS n FROM otel_traces")["n"][0].as_py()
            time.sleep(0.1)
        assert spans == acked
        assert client.post("/v1/traces", content=big(), headers=PROTOBUF).status_code == 200


def test_a_token_is_asked_for_when_one_is_configured(tmp_path: Path) -> None:
    """With a token of scope ingest configured, OTLP without it is 401, and with it 200."""
    token = {"name": "t", "sha256": hashlib.sha256(b"sesame").hexdigest(), "scopes": ["ingest"]}
    with (
        OwnRoles(tmp_path, {"tokens": [token]}) as own,  # type: ignore[dict-item]
        httpx.Client(base_url=own.otlp_url, trust_env=False) as client,
    ):
        own.start("ingest")
        body = request("t").SerializeToString()
        assert client.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 401
        wrong, right = ({"Authorization": f"Bearer {text}"} for text in ("guess", "sesame"))
        assert client.post("/v1/traces", content=body, headers=PROTOBUF | wrong).status_code == 401
        assert client.post("/v1/traces", content=body, headers=PROTOBUF | right).status_code == 200


def test_beyond_loopback_needs_a_token(tmp_path: Path) -> None:
    """Binding elsewhere without a credential is refused with what to do."""
    with (
        OwnRoles(tmp_path, {"ingest": {"host": "0.0.0.0"}}) as own,
        pytest.raises(WatchkeeperError, match="token new --scope ingest"),
    ):
        own.start("ingest")


def test_a_taken_port_names_its_owner(roles: OwnRoles, tmp_path: Path) -> None:
    """A second ingest on the same port ends at once and says who holds it."""
    pid = roles.processes["ingest"].pid
    for key in ("otlp_http_port", "otlp_grpc_port"):
        folder = tmp_path / key
        folder.mkdir()
        second = OwnRoles(folder, {"ingest": {key: getattr(roles.config.ingest, key)}})
        with second, pytest.raises(WatchkeeperError, match=rf"{key}: .*held by .*\(pid {pid}\)"):
            second.start("ingest")
