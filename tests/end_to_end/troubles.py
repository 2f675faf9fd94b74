"""Everything that a bad night brings, each as a loop of its own until it is told to stop."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import itertools
import json
import random
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROTOBUF = {"Content-Type": "application/x-protobuf"}
HOSTILE_NAMES = (
    " ",
    "\x00",
    "<!channel>",
    "<script>alert(1)</script>",
    "](javascript:alert(1))",
    "\u202eevil\u202c",
    "=cmd|' /C calc'!A0",
    "[red]bold[/red]",
    "x" * 100_000,
    "naïve☃\u0000name",
    "a\r\nBEGIN:VEVENT\r\nb",
)


@dataclass
class Addresses:
    """Where the installation listens."""

    otlp: str
    web: str
    slack: str
    store: str


@dataclass
class Night:
    """The troubles that run, and what became of the good spans in between."""

    addresses: Addresses
    token: str
    acked: int = 0
    refused_good: int = 0
    errors: list[str] = field(default_factory=list)
    answers: dict[str, set[int]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    service: str = field(default_factory=lambda: "steady-" + secrets.token_hex(3))

    @contextlib.contextmanager
    def falls(self) -> Iterator[None]:
        """All at once, until the block ends."""
        loops = [
            self._good_spans,
            self._wrong_wire_types,
            self._odd_requests,
            self._odd_alerts,
            self._doors,
            self._names,
        ]
        threads = [threading.Thread(target=self._guarded, args=(loop,), daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(120)

    def _guarded(self, loop: Callable[[httpx.Client], None]) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=60) as client:
                loop(client)
        except Exception as error:  # noqa: BLE001 - a defect of the test, which must show
            self.errors.append(f"{loop.__name__}: {error!r}")

    def _post(self, client: httpx.Client, url: str, **what: Any) -> int:
        """The status; 0 where nobody answers, which is what a killed role does."""
        try:
            status = client.post(url, **what).status_code
        except httpx.HTTPError:
            return 0
        self.answers.setdefault(url, set()).add(status)
        return status

    def _good_spans(self, client: httpx.Client) -> None:
        """Somebody else's healthy service: what is acked is counted."""
        waiting = None
        while not self.stop.wait(0.25):
            waiting = waiting or spans(self.service, 20)
            if self._post(client, f"{self.addresses.otlp}/v1/traces", content=waiting, headers=PROTOBUF) == 200:
                self.acked += 20
                waiting = None
            else:
                self.refused_good += 1  # the same request again, as an exporter does

    def _wrong_wire_types(self, client: httpx.Client) -> None:
        """A request whose field has another type than OTLP's, every half second."""
        kinds = itertools.cycle((varint_field(7, 1234), fixed32_field(7, 99), varint_field(5, 7), b"\x5b\x5c"))
        while not self.stop.wait(0.5):
            body = spans("wrong", 1, extra=next(kinds))
            self._post(client, f"{self.addresses.otlp}/v1/traces", content=body, headers=PROTOBUF)

    def _odd_requests(self, client: httpx.Client) -> None:
        """Odd encodings, odd times, and little that becomes much."""
        url = f"{self.addresses.otlp}/v1"
        as_json = {"Content-Type": "application/json"}
        surrogate = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"half \\ud83d"}}]}]}]}'
        latin = b"\x0a\x0b\x12\x09\x12\x07\x2a\x05\x0a\x03caf"[:-1] + b"\xe9"
        everything: list[tuple[str, dict[str, Any]]] = [
            ("logs", {"content": surrogate, "headers": as_json}),
            ("logs", {"content": latin, "headers": PROTOBUF}),
            ("traces", {"content": b"\xff" * 100, "headers": PROTOBUF}),
            ("traces", {"content": "[" * 20_000, "headers": as_json}),
            (
                "traces",
                {"content": gzip.compress(spans("a", 1)) * 2, "headers": PROTOBUF | {"Content-Encoding": "gzip"}},
            ),
            ("traces", {"content": b"x", "headers": PROTOBUF | {"Content-Encoding": "br"}}),
            ("traces", {"content": spans("many-days", 3000, days=30_000), "headers": PROTOBUF}),
            ("traces", {"content": spans("large", 2000, attribute="y" * 262_144), "headers": PROTOBUF}),
            ("metrics", {"content": json.dumps({"resourceMetrics": [{"scopeMetrics": 7}]}), "headers": as_json}),
        ]
        for signal, what in itertools.cycle(everything):
            if self.stop.wait(0.4):
                return
            self._post(client, f"{url}/{signal}", **what)

    def _odd_alerts(self, client: httpx.Client) -> None:
        """Alerts that no rule should have sent, and a storm of good ones."""
        url = f"{self.addresses.otlp}/api/v1/alerts/alertmanager"
        storm = {
            "version": "4",
            "alerts": [alert(f"storm-{n}", severity="warning" if n % 2 else "page") for n in range(400)],
        }
        self._post(client, url, json=storm)
        odd: list[Any] = [
            {"version": "4", "alerts": [alert("zero", startsAt="0001-01-01T00:00:00Z")]},
            {"version": "4", "alerts": [alert("east", startsAt="0001-01-01T00:00:00+05:00")]},
            {"version": "4", "alerts": [alert("west", startsAt="9999-12-31T23:59:59-05:00")]},
            {"version": "1", "orgId": 1, "alerts": [alert("grafana", extra={"values": {"A": None}})]},
            {"version": "4", "alerts": [alert("n" * 300), alert("nul\x00name"), alert(" "), 7, None]},
            {"version": "4", "alerts": [alert(name) for name in HOSTILE_NAMES[2:8]]},
            {"version": "4", "alerts": "no list"},
            [],
            17,
        ]
        for body in itertools.cycle(odd):
            if self.stop.wait(0.5):
                return
            self._post(client, url, content=json.dumps(body), headers={"Content-Type": "application/json"})

    def _doors(self, client: httpx.Client) -> None:
        """Foreign names, forged signatures, wrong tokens, and bodies without end."""
        a = self.addresses
        attempts: list[Callable[[], object]] = [
            lambda: self._post(
                client, f"{a.web}/slack/events", content=pieces(40), headers={"X-Slack-Signature": "v0=00"}
            ),
            lambda: self._post(client, f"{a.web}/sign-in", data={"token": "wrong", "as": "ana"}),
            lambda: self._post(client, f"{a.otlp}/v1/traces", content=pieces(40), headers=PROTOBUF),
            lambda: self._post(client, f"{a.otlp}/v1/traces", content=b"", headers=PROTOBUF | {"Host": "evil.example"}),
            lambda: self._post(client, f"{a.store}/?query=SELECT+1", content=pieces(5)),
            lambda: self._post(client, f"{a.slack}/api/chat.postMessage", content=pieces(40)),
            lambda: self._post(client, f"{a.web}/_dash-update-component", json={"output": 1}),
            lambda: self._post(client, f"{a.web}/api/v1/incidents/nope/ack", json={"actor": None}),
        ]
        for attempt in itertools.cycle(attempts):
            if self.stop.wait(0.4):
                return
            attempt()

    def _names(self, client: httpx.Client) -> None:
        """Services, operations and attributes with names that want to do something."""
        for name in itertools.cycle(HOSTILE_NAMES):
            if self.stop.wait(0.3):
                return
            body = spans(name, 5, operation=name, attribute=name[:1000], error=True)
            self._post(client, f"{self.addresses.otlp}/v1/traces", content=body, headers=PROTOBUF)


def spans(
    service: str,
    count: int,
    *,
    operation: str = "GET /",
    attribute: str = "",
    error: bool = False,
    days: int = 0,
    extra: bytes = b"",
) -> bytes:
    """One request of server spans; `extra` is appended to the last span as it is."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    if attribute:
        resource.resource.attributes.add(key="note").value.string_value = attribute
    scope = resource.scope_spans.add()
    now = time.time_ns()
    for number in range(count):
        begun = now - (number * days // max(count, 1)) * 86_400_000_000_000 if days else now - number * 1_000_000
        span = scope.spans.add(
            trace_id=secrets.token_bytes(16),
            span_id=secrets.token_bytes(8),
            name=operation,
            kind=2,
            start_time_unix_nano=max(1, begun - 5_000_000),
            end_time_unix_nano=max(1, begun),
        )
        span.status.code = 2 if error else 0
    if not extra:
        return bytes(request.SerializeToString())
    span = scope.spans.add()
    span.ParseFromString(scope.spans[0].SerializeToString())
    del scope.spans[1:]
    inner = scope.spans[0].SerializeToString() + extra
    wrapped = block(2, inner)
    resource_part = block(1, resource.resource.SerializeToString())
    return block(1, resource_part + block(2, wrapped))


def block(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def varint_field(number: int, value: int) -> bytes:
    """A field as a varint."""
    return varint(number << 3) + varint(value)


def fixed32_field(number: int, value: int) -> bytes:
    """A field as four bytes."""
    return varint(number << 3 | 5) + struct.pack("<I", value)


def alert(service: str, *, severity: str = "page", startsAt: str = "", extra: dict[str, Any] | None = None) -> Any:  # noqa: N803
    """One firing alert as a webhook brings it."""
    return {
        "status": "firing",
        "labels": {"alertname": f"Down {service}", "service": service, "severity": severity},
        "annotations": {"summary": f"{service} is down"},
        "startsAt": startsAt or (datetime.now(UTC) - timedelta(seconds=30)).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": secrets.token_hex(8),
        **(extra or {}),
    }


def pieces(mebibytes: int) -> Iterator[bytes]:
    """A body without a length, piece by piece."""
    for _ in range(mebibytes):
        yield b"z" * (1 << 20)


class BadTargets(http.server.ThreadingHTTPServer):
    """Scrape targets: one drips, one goes in circles, one counts nonsense, one is not Prometheus at all."""

    daemon_threads = True
    PATHS = ("/drip", "/circle", "/nonsense", "/html", "/good")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Target)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let drips go, and stop."""
        self.ended.set()
        self.shutdown()
        self.server_close()


class _Target(http.server.BaseHTTPRequestHandler):
    server: BadTargets

    def do_GET(self) -> None:
        match self.path:
            case "/drip":
                self._head(200, "text/plain")
                with contextlib.suppress(OSError):
                    while not self.server.ended.wait(1.0):
                        self.wfile.write(b"#")
                        self.wfile.flush()
            case "/circle":
                self.send_response(302)
                self.send_header("Location", random.choice(["/circle", "/circle?again"]))
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "/nonsense":
                self._head(200, "text/plain")
                self.wfile.write(
                    b'# TYPE h histogram\nh_bucket{le="1"} NaN\nh_count NaN\nx 1 -62135596800000\nfine 7\n'
                )
            case "/html":
                self._head(200, "text/html")
                self.wfile.write(b"<html>sign in</html>")
            case _:
                self._head(200, "text/plain")
                self.wfile.write(b"# TYPE fine gauge\nfine 7\n")

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""
