"""Who may call the receivers, and what is done before a body is read."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.own_roles import OwnRoles
from collectors.receivers.callers import Callers, Held, Rates
from collectors.receivers.rejections import BusyError, TooFastError
from watchkeeper.config import Config

pytestmark = pytest.mark.xdist_group("collectors")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
Rows = Callable[..., list[dict[str, Any]]]


def request(service: str, *names: str) -> ExportTraceServiceRequest:
    """Spans of now."""
    whole = ExportTraceServiceRequest()
    resource = whole.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    spans = resource.scope_spans.add().spans
    for name in names:
        now = time.time_ns()
        spans.add(name=name, span_id=secrets.token_bytes(8), start_time_unix_nano=now, end_time_unix_nano=now)
    return whole


@pytest.mark.parametrize(
    "path", ["/v1/traces", "/v1/logs", "/v1/metrics", "/api/v1/changes", "/api/v1/alerts/alertmanager"]
)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:4318"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "127.0.0.1@evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    http: httpx.Client, path: str, headers: dict[str, str], status: int
) -> None:
    """A page in a browser, or one whose name was made to point here, can write nothing."""
    answer = http.post(path, content=b"{}", headers=JSON | headers)
    assert answer.status_code == status
    assert "ingest.allowed_" in answer.json()["message"]


def test_health_is_for_no_foreign_page_either(http: httpx.Client) -> None:
    """What the metrics say is nobody else's."""
    for path in ("/metrics", "/readyz", "/healthz", "/nothing"):
        assert http.get(path, headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:4318", "127.0.0.1", "127.1.2.3:1", "[::1]:4318", "host.docker.internal:4318"]
)
def test_our_own_names_are_taken(http: httpx.Client, host: str) -> None:
    """Loopback's names, and those by which a container calls the machine."""
    assert http.post("/v1/traces", content=b"", headers=PROTOBUF | {"Host": host}).status_code == 200


def test_configured_names_and_pages_are_taken() -> None:
    """On loopback only they; elsewhere any name, unless some are listed."""

    def refuses(header: tuple[bytes, bytes], **ingest: Any) -> bool:
        return Callers(Config.model_validate({"ingest": ingest})).refusal([header]) is not None

    assert not refuses((b"host", b"telemetry.corp:4318"), allowed_hosts=["telemetry.corp"])
    assert refuses((b"host", b"other.corp"), allowed_hosts=["telemetry.corp"])
    assert not refuses((b"host", b"watchkeeper:4318"), host="0.0.0.0")
    assert refuses((b"host", b"watchkeeper:4318"), host="0.0.0.0", allowed_hosts=["telemetry.corp"])
    assert not refuses((b"origin", b"https://shop.example"), allowed_origins=["https://shop.example/"])
    assert refuses((b"origin", b"https://shop.example.evil"), allowed_origins=["https://shop.example"])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """An ingest role that wants a token, lets one page send, and slows senders down."""
    token = {"name": "shop", "sha256": hashlib.sha256(b"sesame").hexdigest(), "scopes": ["ingest"]}
    changes = {
        "tokens": [token],
        "ingest": {"allowed_origins": ["https://shop.example"], "max_request_mib": 4, "max_sender_mib_s": 0.5},
    }
    with OwnRoles(tmp_path_factory.mktemp("guarded"), changes) as own:  # type: ignore[arg-type]
        own.start("ingest")
        yield own


def test_a_page_that_may_send_is_answered_as_browsers_want(guarded: OwnRoles) -> None:
    """Its preflight is answered, and its answers may be read."""
    page = {"Origin": "https://shop.example"}
    with httpx.Client(base_url=guarded.otlp_url, trust_env=False) as client:
        asked = client.options("/v1/traces", headers=page | {"Access-Control-Request-Method": "POST"})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "https://shop.example")
        sent = client.post("/v1/traces", content=b"{}", headers=JSON | page | {"Authorization": "Bearer sesame"})
        assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (200, "https://shop.example")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/x-protobuf"}, 401),
        ({"Content-Type": "application/x-protobuf", "Authorization": "Bearer sesame"}, 413),
        ({"Content-Type": "application/x-protobuf", "Authorization": "Bearer sesame", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "text/html", "Authorization": "Bearer sesame"}, 415),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_400_mib_are_not_read(guarded: OwnRoles, headers: dict[str, str], status: int, framing: str) -> None:
    """Whatever is refused is refused before the body is in memory, with a token or without."""
    process = psutil.Process(guarded.processes["ingest"].pid)
    before = process.memory_info().rss
    answer, sent = _send_400_mib(guarded.config.ingest.otlp_http_port, headers, framing)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert sent < 100 << 20
    assert process.memory_info().rss - before < 60 << 20


def _send_400_mib(port: int, headers: dict[str, str], framing: str) -> tuple[bytes, int]:
    """Send until the other side has had enough; what it answered, and how much went out."""
    chunk = b"\x0a" * (256 << 10)
    length = f"Content-Length: {400 << 20}" if framing == "length" else "Transfer-Encoding: chunked"
    lines = [
        "POST /v1/traces HTTP/1.1",
        "Host: localhost",
        length,
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        try:
            while sent < 400 << 20:
                connection.sendall(chunk if framing == "length" else b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
        except OSError:
            pass
        try:
            return connection.recv(65_536), sent
        except OSError:
            return b"", sent


def test_a_sender_that_is_too_fast_is_asked_to_wait_and_others_are_not(guarded: OwnRoles) -> None:
    """429 names the limit and says when to come back; another sender is served at once."""
    body = request("fast", *["x" * 1000] * 1000).SerializeToString()
    with httpx.Client(base_url=guarded.otlp_url, trust_env=False, timeout=60) as client:
        credentials = {"Authorization": "Bearer sesame"}
        for _ in range(200):
            answer = client.post("/v1/traces", content=body, headers=PROTOBUF | credentials)
            if answer.status_code != 200:
                break
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "max_sender_mib_s" in Status.FromString(answer.content).message
        assert "shop" in Status.FromString(answer.content).message
        local = {"Authorization": f"Bearer {guarded.config.secret('commands')}"}
        assert client.post("/v1/traces", content=body, headers=PROTOBUF | local).status_code == 200


def test_rates_fill_up_again() -> None:
    """After the time that it was given, a sender is let in; so is one request larger than the burst."""
    now = [0.0]
    rates = Rates(100, clock=lambda: now[0])
    rates.take("a", 400)
    with pytest.raises(TooFastError) as raised:
        rates.take("a", 250)
    assert raised.value.retry_after_s == 3
    rates.take("b", 250)
    now[0] += raised.value.retry_after_s
    rates.take("a", 250)
    now[0] += 4
    rates.take("a", 1000)
    with pytest.raises(TooFastError) as raised:
        rates.take("a", 1)
    now[0] += raised.value.retry_after_s
    rates.take("a", 1)
    Rates(0).take("a", 1 << 60)


def test_bodies_in_memory_are_bounded() -> None:
    """Beyond the bound a request is asked to retry, and what is done is given back."""
    held = Held(100)
    with held.account() as first, held.account() as second:
        first(60)
        with pytest.raises(BusyError):
            second(41)
        second(40)
    assert held.bytes == 0


def test_a_token_comes_before_the_body_over_grpc(guarded: OwnRoles) -> None:
    """UNAUTHENTICATED without one; with one it is served; a page's origin is refused."""
    body = request("g", "a").SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{guarded.config.ingest.otlp_grpc_port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        for metadata, code in (
            ([], grpc.StatusCode.UNAUTHENTICATED),
            ([("authorization", "Bearer guess")], grpc.StatusCode.UNAUTHENTICATED),
            (
                [("authorization", "Bearer sesame"), ("origin", "https://evil.example")],
                grpc.StatusCode.PERMISSION_DENIED,
            ),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                call(body, metadata=metadata, timeout=60)
            assert raised.value.code() == code
        answer = call(b"", metadata=[("authorization", "Bearer sesame")], timeout=60)
        assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_grpc_is_bounded_unpacked(roles: OwnRoles, compression: Any) -> None:
    """A message of a few kB that would be 64 MiB is refused; one that is packed well is taken."""
    with grpc.insecure_channel(f"127.0.0.1:{roles.config.ingest.otlp_grpc_port}", compression=compression) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"\x0a" * (64 << 20), timeout=60)
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(request("packed", "a").SerializeToString(), timeout=60) == b""


def test_what_was_left_out_is_reported_as_a_partial_success(roles: OwnRoles, http: httpx.Client, rows: Rows) -> None:
    """Over HTTP in both encodings, and over gRPC; what is kept is in the store."""
    service = secrets.token_hex(4)
    whole = request(service, "kept", "of 1970")
    whole.resource_spans[0].scope_spans[0].spans[1].start_time_unix_nano = 5
    whole.resource_spans[0].scope_spans[0].spans[1].end_time_unix_nano = 6
    answer = http.post("/v1/traces", content=whole.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    part = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (part.rejected_spans, "1970-01-01" in part.error_message) == (1, True)
    tree = MessageToDict(whole)
    for span in tree["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span["spanId"] = secrets.token_hex(8)
    answer = http.post("/v1/traces", content=json.dumps(tree).encode(), headers=JSON)
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    whole.resource_spans[0].scope_spans[0].spans[0].span_id = secrets.token_bytes(8)  # else it is the same batch again
    with grpc.insecure_channel(f"127.0.0.1:{roles.config.ingest.otlp_grpc_port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        part = ExportTraceServiceResponse.FromString(call(whole.SerializeToString(), timeout=60)).partial_success
    assert part.rejected_spans == 1
    found = rows("SELECT SpanName AS name FROM otel_traces WHERE ServiceName = {s:String}", expected=3, s=service)
    assert [row["name"] for row in found] == ["kept"] * 3


def test_members_and_zstd_arrive_whole(http: httpx.Client, rows: Rows) -> None:
    """Two requests that were packed one after the other are one request with the spans of both."""
    from backports import zstd

    service = secrets.token_hex(4)
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        bodies = [request(service, name).SerializeToString() for name in ("a", "b")]
        answer = http.post(
            "/v1/traces", content=b"".join(map(pack, bodies)), headers=PROTOBUF | {"Content-Encoding": encoding}
        )
        assert answer.status_code == 200
    found = rows("SELECT SpanName AS name FROM otel_traces WHERE ServiceName = {s:String}", expected=4, s=service)
    assert sorted(row["name"] for row in found) == ["a", "a", "b", "b"]
    answer = http.post("/v1/traces", content=bodies[0], headers=PROTOBUF | {"Content-Encoding": "br"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")


def test_a_hundred_large_bodies_at_once_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Some are taken and some are asked to retry; a small request is served meanwhile, and memory stays bounded."""
    with OwnRoles(tmp_path, {"ingest": {"max_request_mib": 8, "max_sender_mib_s": 0}}) as own:
        own.start("ingest")
        port = own.config.ingest.otlp_http_port
        process = psutil.Process(own.processes["ingest"].pid)
        before, peak, done = process.memory_info().rss, [0], threading.Event()
        body = request("large", *["x" * 1000] * 7000).SerializeToString()
        answers: list[int] = []

        def send() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            try:
                connection.request("POST", "/v1/traces", body, PROTOBUF)
                answers.append(connection.getresponse().status)
            except OSError:
                answers.append(0)
            finally:
                connection.close()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        senders = [threading.Thread(target=send) for _ in range(100)]
        for sender in senders:
            sender.start()
        with httpx.Client(base_url=own.otlp_url, trust_env=False, timeout=120) as client:
            small = client.post("/v1/traces", content=request("small", "a").SerializeToString(), headers=PROTOBUF)
        for sender in senders:
            sender.join()
        done.set()
        watcher.join()
        assert small.status_code == 200
        assert answers.count(200) >= 1
        assert set(answers) <= {0, 200, 408, 429, 503}
        assert peak[0] - before < 400 << 20
        assert "Traceback" not in own.log("ingest")
