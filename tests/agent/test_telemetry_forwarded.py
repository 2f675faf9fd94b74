"""OTLP through the agent to a real platform: away and back, agent and platform killed, bad bodies, a full log."""

from __future__ import annotations

import gzip
import json
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from bench.own_roles import OwnRoles
from tests.running_agent import RunningAgent
from tests.waiting import until
from watchkeeper.ports import free_port

pytestmark = pytest.mark.xdist_group("agent-telemetry")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LINES = "SELECT Body AS line FROM otel_logs WHERE ServiceName = {s:String}"


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A platform's store and ingest roles; tests may stop and start ingest."""
    with OwnRoles(tmp_path_factory.mktemp("platform"), {"ingest": {"segment_seconds": 0.1}}) as own:
        own.start("store", "ingest")
        yield own


@pytest.fixture
def platform(roles: OwnRoles) -> OwnRoles:
    if "ingest" not in roles.processes:
        roles.start("ingest")
    return roles


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[RunningAgent]]:
    agents: list[RunningAgent] = []
    yield agents
    for agent in agents:
        agent.stop()


def agent_for(url: str, folder: Path, made: list[RunningAgent], **more: Any) -> RunningAgent:
    log = {"mib": 16, "keep_free_mib": 0}
    telemetry = {"to": url, "receive": {"port": free_port()}, "interval_seconds": 300, "log": log, **more}
    agent = RunningAgent(folder, {}, telemetry=telemetry)
    made.append(agent)
    agent.start()
    return agent


def logs(service: str, *lines: str) -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    for line in lines:
        record = resource.scope_logs.add().log_records.add(time_unix_nano=time.time_ns(), severity_number=9)
        record.body.string_value = line
    return request.SerializeToString()


def post(agent: RunningAgent, body: bytes, signal: str = "logs", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return httpx.post(f"{agent.otlp_url}/v1/{signal}", content=body, headers=PROTOBUF | named, timeout=60)


def telemetry_of(agent: RunningAgent) -> dict[str, Any]:
    state: dict[str, Any] = agent.good("GET", "/target")["telemetry"]
    return state


def drained(agent: RunningAgent) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        state = telemetry_of(agent)
        return None if state["queued_bytes"] else state

    found = until(look, moving=lambda: telemetry_of(agent)["queued_bytes"], what="the end of the queue")
    assert found
    return found


def lines_of(platform: OwnRoles, service: str, *expected: str) -> list[str]:
    """Every line of a service in the store, as soon as the expected ones are there."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [str(row["line"]) for row in platform.telemetry.query(LINES, {"s": service}).to_pylist()]
        return set(expected) <= set(found)

    until(look, moving=lambda: len(found), what=f"lines of {service}")
    return found


def test_what_an_sdk_sends_reaches_the_store(platform: OwnRoles, tmp_path: Path, made: list[RunningAgent]) -> None:
    """A span of OpenTelemetry's SDK, sent to the agent, is in the platform's store."""
    agent = agent_for(platform.otlp_url, tmp_path, made)
    service = secrets.token_hex(4)
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{agent.otlp_url}/v1/traces")))
    provider.get_tracer("test").start_span("GET /").end()
    provider.shutdown()
    query = "SELECT SpanName AS name FROM otel_traces WHERE ServiceName = {s:String}"
    rows = until(lambda: platform.telemetry.query(query, {"s": service}).to_pylist(), what="the span")
    assert rows == [{"name": "GET /"}]


def test_protobuf_json_and_gzip_arrive_as_they_came(
    platform: OwnRoles, tmp_path: Path, made: list[RunningAgent]
) -> None:
    """Each encoding that the platform takes is passed on, and none is parsed on the way."""
    agent = agent_for(platform.otlp_url, tmp_path, made)
    service = secrets.token_hex(4)
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": "json"}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    as_json = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}).encode()
    answers = [
        post(agent, logs(service, "plain")),
        post(agent, gzip.compress(logs(service, "gzip")), content_encoding="gzip"),
        post(agent, as_json, content_type="application/json"),
        httpx.post(
            f"{agent.otlp_url}/v1/logs",
            content=gzip.compress(as_json.replace(b'"json"', b'"both"')),
            headers={"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.content for answer in answers] == [b"", b"", b"{}", b"{}"]
    expected = ["both", "gzip", "json", "plain"]
    assert sorted(lines_of(platform, service, *expected)) == expected


def test_bodies_wait_while_the_platform_is_away(platform: OwnRoles, tmp_path: Path, made: list[RunningAgent]) -> None:
    """The agent acks on its own disk, keeps everything over its own restart, and sends it in order when it can."""
    platform.stop("ingest")
    agent = agent_for(platform.otlp_url, tmp_path, made)
    service = secrets.token_hex(4)
    for number in range(30):
        assert post(agent, logs(service, f"line {number}")).status_code == 200
    state = until(lambda: (now := telemetry_of(agent))["trouble"] and now, what="the trouble")
    assert platform.otlp_url in state["trouble"]
    assert state["queued_bytes"] > 0
    agent.stop()
    agent.start()
    assert post(agent, logs(service, "line 30")).status_code == 200
    assert telemetry_of(agent)["sent"] == 0
    platform.start("ingest")
    assert drained(agent)["sent"] >= 31  # and what the agent itself has measured
    expected = sorted(f"line {number}" for number in range(31))
    assert sorted(lines_of(platform, service, *expected)) == expected
    assert telemetry_of(agent)["trouble"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["agent", "agent and platform"])
def test_nothing_acked_is_lost_to_kills(
    platform: OwnRoles, tmp_path: Path, made: list[RunningAgent], killed: str
) -> None:
    """kill -9 at random while bodies arrive: each line that was acked arrives, and once while the platform lives."""
    agent = agent_for(platform.otlp_url, tmp_path, made)
    agent_url, service, dice = agent.otlp_url, secrets.token_hex(4), random.Random(7)
    acked: set[str] = set()
    stop = threading.Event()

    def send(worker: int) -> None:
        number = 0
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                number += 1
                line = f"{worker}.{number}"
                try:
                    answer = client.post(f"{agent_url}/v1/logs", content=logs(service, line), headers=PROTOBUF)
                except httpx.TransportError:
                    time.sleep(0.01)
                    continue
                if answer.status_code == 200:
                    acked.add(line)

    workers = [threading.Thread(target=send, args=(each,)) for each in range(3)]
    for worker in workers:
        worker.start()
    try:
        for round_number in range(6 if killed == "agent" else 3):
            before = len(acked)
            until(lambda: len(acked) > before + 20, moving=lambda: len(acked), what="bodies")  # noqa: B023
            time.sleep(dice.uniform(0, 0.3))
            agent.kill()
            if killed != "agent" and round_number % 2:
                platform.kill("ingest")
                agent.start()
                time.sleep(dice.uniform(0, 0.5))
                platform.start("ingest")
            else:
                agent.start()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    drained(agent)
    received = lines_of(platform, service, *acked)
    if killed == "agent":
        assert len(received) == len(set(received))


def test_a_bad_body_is_set_aside_and_holds_up_nothing(
    platform: OwnRoles, tmp_path: Path, made: list[RunningAgent]
) -> None:
    """What the platform refuses for good is kept with its reason, and the next body is sent."""
    agent = agent_for(platform.otlp_url, tmp_path, made)
    service = secrets.token_hex(4)
    assert post(agent, b"\x0a\xff\xff\xff\xff\x0f not OTLP").status_code == 200
    assert post(agent, b"not gzip", content_encoding="gzip").status_code == 200
    assert post(agent, gzip.compress(bytes(40 << 20)), content_encoding="gzip").status_code == 200
    assert post(agent, logs(service, "good")).status_code == 200
    assert lines_of(platform, service, "good") == ["good"]
    assert drained(agent)["set_aside"] == 3
    kept = sorted((agent.root / "telemetry" / "aside").iterdir())
    heads = [json.loads(path.read_bytes().partition(b"\n")[0]) for path in kept]
    assert [head["reason"][:4] for head in heads] == ["400 ", "400 ", "413 "]
    assert kept[1].read_bytes().endswith(b"\nnot gzip")
    assert any("telemetry.set_aside logs: 400" in row.get("note", "") for row in agent.audited())


def test_a_full_log_refuses_and_recovers(platform: OwnRoles, tmp_path: Path, made: list[RunningAgent]) -> None:
    """Over its bound the agent answers 503 with Retry-After, so that senders keep theirs; nothing acked is dropped."""
    platform.stop("ingest")
    agent = agent_for(platform.otlp_url, tmp_path, made, log={"mib": 1, "keep_free_mib": 0})
    service, acked = secrets.token_hex(4), []
    for number in range(60):
        noise = secrets.token_hex(30_000)  # hexadecimal digits compress to a half
        answer = post(agent, logs(service, f"{number} {noise}"))
        if answer.status_code != 200:
            break
        acked.append(f"{number} {noise}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert b"the log is full: 1 MiB wait for the platform (telemetry.log.mib)" in answer.content
    assert len(acked) > 10
    assert telemetry_of(agent)["not_taken"] == 1
    platform.start("ingest")
    drained(agent)
    assert post(agent, logs(service, "again")).status_code == 200
    acked.append("again")
    assert sorted(lines_of(platform, service, *acked)) == sorted(acked)


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "type": ({"content_type": "text/plain"}, 415, "send Content-Type"),
    "encoding": ({"content_encoding": "br"}, 415, "send Content-Encoding gzip, deflate or zstd"),
    "page": ({"origin": "http://evil.example"}, 403, "pages in a browser may not write here"),
    "size": ({"content_length": str(17 << 20)}, 413, "larger than 16 MiB"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_sent_on_is_refused_at_once(case: str, tmp_path: Path, made: list[RunningAgent]) -> None:
    """A body that no platform takes is answered with a reason, not acked and set aside later."""
    agent = agent_for("http://127.0.0.1:9", tmp_path, made)
    headers, status, words = REFUSED[case]
    if case == "size":
        host, port = agent.otlp_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n"
                b"Content-Length: 17825792\r\n\r\n"
            )
            said = connection.recv(65536)
        assert b" 413 " in said
        assert words.encode() in said
        return
    answer = post(agent, b"x", **headers)
    assert (answer.status_code, words in answer.text) == (status, True)
    assert telemetry_of(agent)["taken"] == 0
