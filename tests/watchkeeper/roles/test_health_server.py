"""The health page of a role that serves nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from watchkeeper.roles.telemetry import MOST_AT_ONCE, HealthServer


@pytest.fixture
def health() -> Iterator[HealthServer]:
    """A server whose role lacks something."""
    server = HealthServer(lambda: "the store is away")
    yield server
    server.close()


def ask(health: HealthServer, head: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", health.port), timeout=60) as connection:
        connection.sendall(head)
        found = b""
        while part := connection.recv(65536):
            found += part
    return int(found.split()[1]), found


def test_it_answers_its_own_names(health: HealthServer) -> None:
    """With protection for browsers on every answer."""
    for host in (b"127.0.0.1", b"localhost:1234", b"LOCALHOST."):
        status, found = ask(health, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert status == 200
        assert b"nosniff" in found
        assert b"frame-ancestors 'none'" in found
    assert ask(health, b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")[0] == 503


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n", 403),
        (b"GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx", 405),
        (b"FROB /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
    ids=[
        "foreign",
        "no-host",
        "two-hosts",
        "origin",
        "target",
        "post",
        "verb",
        "version",
        "long-line",
        "long-header",
        "tls",
    ],
)
def test_what_is_foreign_or_senseless_is_refused(health: HealthServer, head: bytes, status: int) -> None:
    """By a 4xx each: it is the sender's failure."""
    assert ask(health, head)[0] == status


def test_idle_connections_do_not_add_up(health: HealthServer) -> None:
    """Each would hold a thread; beyond a few they are closed, and the role is asked again afterwards."""
    idle = [socket.create_connection(("127.0.0.1", health.port), timeout=60) for _ in range(2 * MOST_AT_ONCE)]
    closed = 0
    for connection in idle[MOST_AT_ONCE:]:
        closed += connection.recv(1) == b""
    for connection in idle:
        connection.close()
    assert closed == MOST_AT_ONCE
