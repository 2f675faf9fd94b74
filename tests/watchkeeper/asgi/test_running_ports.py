"""Bodies without end, heads without end and foreign names against the roles as they run."""

from __future__ import annotations

import socket
import time
from random import Random

import pytest

from tests.fuzz.mutations import damaged
from tests.watchkeeper.asgi.conftest import Port

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]

DOORS = [
    ("web", "/slack/events"),
    ("web", "/sign-in"),
    ("web", "/_dash-update-component"),
    ("web", "/api/v1/incidents/inc-1/acknowledge"),
    ("web", "/nothing/here"),
    ("standin", "/api/chat.postMessage"),
    ("standin", "/standin/press"),
]
MIB = b"x" * (1 << 20)
SENT_MIB = 400
# Far less than what is sent; far more than a collector of garbage may leave lying about.
GROWTH_MIB = 60


def answer(connection: socket.socket) -> bytes:
    """What the other side says until it closes; nothing where it only closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except OSError:
        pass
    return found


def send(connection: socket.socket, data: bytes) -> bool:
    """Send; False where the other side has closed."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def head(path: str, *lines: str, host: str = "127.0.0.1", method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(("role", "path"), DOORS)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
def test_a_large_declared_body_is_refused_unread(ports: dict[str, Port], role: str, path: str, kind: str) -> None:
    """413 at once, without a token, and nothing of it is kept."""
    port = ports[role]
    with port.connect() as connection:
        before = port.peak_mib()
        connection.sendall(head(path, f"Content-Type: {kind}", f"Content-Length: {SENT_MIB << 20}"))
        for _ in range(SENT_MIB):
            if not send(connection, MIB):
                break
    assert port.peak_mib() - before < GROWTH_MIB


@pytest.mark.parametrize(("role", "path"), DOORS)
def test_the_answer_to_a_large_body_can_be_read(ports: dict[str, Port], role: str, path: str) -> None:
    """A sender that waits for the answer gets one that says what to do."""
    with ports[role].connect() as connection:
        connection.sendall(head(path, "Content-Type: application/json", f"Content-Length: {SENT_MIB << 20}"))
        found = answer(connection)
    assert found.startswith(b"HTTP/1.1 413 ")
    assert b"send less" in found


@pytest.mark.parametrize(("role", "path"), DOORS)
def test_a_body_without_length_is_counted_as_it_comes(ports: dict[str, Port], role: str, path: str) -> None:
    """Chunked, 400 MiB of it: refused after its limit, and memory stays flat."""
    port = ports[role]
    with port.connect() as connection:
        before = port.peak_mib()
        connection.sendall(head(path, "Content-Type: application/json", "Transfer-Encoding: chunked"))
        for _ in range(SENT_MIB):
            if not send(connection, b"100000\r\n" + MIB + b"\r\n"):
                break
        else:
            pytest.fail("it took everything")
    assert port.peak_mib() - before < GROWTH_MIB


@pytest.mark.parametrize("role", ["web", "standin"])
@pytest.mark.parametrize("what", ["header", "headers", "address", "trailer", "extension"])
def test_a_head_without_end_is_refused(ports: dict[str, Port], role: str, what: str) -> None:
    """One header, many headers, an address, trailers, a chunk's extension: none may grow for ever."""
    port = ports[role]
    begin = {
        "header": b"GET /healthz HTTP/1.1\r\nX-Long: ",
        "headers": b"GET /healthz HTTP/1.1\r\n",
        "address": b"GET /",
        "trailer": head("/sign-in", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\nX-Long: ",
        "extension": head("/sign-in", "Transfer-Encoding: chunked") + b"1;",
    }[what]
    piece = b"X-Many: x\r\n" * 90_000 if what == "headers" else MIB
    with port.connect() as connection:
        before = port.peak_mib()
        connection.sendall(begin)
        for _ in range(SENT_MIB):
            if not send(connection, piece):
                break
        else:
            pytest.fail("it took everything")
    assert port.peak_mib() - before < GROWTH_MIB


@pytest.mark.parametrize("role", ["web", "standin"])
def test_slow_senders_hold_back_nobody(ports: dict[str, Port], role: str) -> None:
    """While fifty bodies drip, others are answered; nothing adds up."""
    port = ports[role]
    path = "/slack/events" if role == "web" else "/api/chat.postMessage"
    slow = [port.connect() for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(head(path, "Content-Type: application/json", "Content-Length: 1000000") + b"x" * 1000)
        with port.connect() as connection:
            connection.sendall(head("/healthz", "Connection: close", method="GET"))
            assert answer(connection).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("role", ["web", "standin"])
@pytest.mark.parametrize(
    ("request_head", "statuses"),
    [
        (head("/", host="evil.example", method="GET"), (421,)),
        (head("http://evil.example/", method="GET"), (421,)),
        (head("http://evil.example:80/healthz", host="127.0.0.1", method="GET"), (421,)),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", (400,)),
        (b"GET / HTTP/1.0\r\n\r\n", (421,)),
        (head("/", "X-Forwarded-Host: 127.0.0.1", host="evil.example", method="GET"), (421,)),
        (head("/", "Origin: http://evil.example", method="GET"), (403,)),
        (head("/", "Origin: null", method="OPTIONS"), (403,)),
        (head("/sign-in", "Origin: http://127.0.0.1:1", "Content-Length: 0"), (403,)),
        (head("/\x00\xff", method="GET"), (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 4 + b"\r\n\r\n", (400,)),
    ],
    ids=["host", "target", "target-and-port", "two-hosts", "no-host", "forwarded", "origin", "preflight",
         "other-port", "bytes-in-target", "no-http"],
)  # fmt: skip
def test_a_foreign_name_or_page_is_refused(
    ports: dict[str, Port], role: str, request_head: bytes, statuses: tuple[int, ...]
) -> None:
    """Whatever stands in the other headers, and however the target is written."""
    with ports[role].connect() as connection:
        connection.sendall(request_head)
        found = answer(connection)
    assert int(found.split()[1]) in statuses, found[:200]


@pytest.mark.parametrize("path", ["/_dash-ws-callback", "/", "/api/v1/incidents"])
def test_there_are_no_web_sockets(ports: dict[str, Port], path: str) -> None:
    """An upgrade is not taken up: what speaks over one would pass by the session."""
    lines = (
        "Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    with ports["web"].connect() as connection:
        connection.sendall(head(path, *lines, method="GET"))
        found = answer(connection)
    assert b"101 Switching" not in found
    assert found.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("role", ["web", "standin"])
def test_bytes_that_are_no_http_break_nothing(ports: dict[str, Port], role: str) -> None:
    """Some hundred seeded requests with wrong bytes: 4xx or a closed connection, no 5xx, no traceback in the log."""
    random = Random(20261129)
    port = ports[role]
    known = [
        head("/healthz", "Connection: close", method="GET"),
        head("/sign-in", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 5") + b"a=b&c",
        head("/api/auth.test", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        head("/_dash-ws-callback", "Connection: Upgrade", "Upgrade: websocket", method="GET"),
        head("http://127.0.0.1/healthz", "Expect: 100-continue", "Content-Length: 1") + b"x",
    ]
    for _ in range(400):
        sent = random.choice(known)
        for _ in range(random.randrange(3)):
            sent = damaged(random, sent)
        with port.connect() as connection:
            send(connection, sent[:100_000])
            connection.shutdown(socket.SHUT_WR)
            found = answer(connection)
        assert not found or found.startswith(b"HTTP/1."), (sent, found)
        assert b"HTTP/1.1 5" not in found, (sent, found)
    assert "Traceback" not in port.log.read_text()


def test_the_roles_still_answer(ports: dict[str, Port]) -> None:
    """After all of this."""
    for port in ports.values():
        deadline = time.monotonic() + 60
        while True:
            with port.connect() as connection:
                connection.sendall(head("/healthz", "Connection: close", method="GET"))
                if answer(connection).startswith(b"HTTP/1.1 200 "):
                    break
            assert time.monotonic() < deadline
