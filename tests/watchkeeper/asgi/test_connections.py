"""A connection that asks for nothing is closed; one that asks is served however it is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from tests.waiting import until
from watchkeeper.asgi import connections
from watchkeeper.asgi.connections import BoundedHttp


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the Host that counts."""
    host = dict(scope["headers"]).get(b"host", b"none")
    headers = [(b"content-length", str(len(host)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": host})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits for a head for a fifth of a second only."""
    monkeypatch.setattr(connections, "HEAD_DEADLINE_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(echo, http=BoundedHttp, ws="none", lifespan="off", log_level="error", timeout_keep_alive=60)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started, what="the server")
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join(60)


def answer(port: int, *parts: bytes) -> bytes:
    """What comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n", b"\r\n\r\n\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(port: int, sent: bytes) -> None:
    """Nothing, a part of one, and empty lines only."""
    assert answer(port, sent) == b""


def test_after_an_answer_a_second_head_has_its_own_time(port: int) -> None:
    """A kept connection waits as the server says; a second head that stops half-way ends it."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert answer(port, request, b"GET / HT").count(b"200 OK") == 1


@pytest.mark.parametrize(
    ("target", "host"),
    [(b"http://b/x", b"b"), (b"http://b:81/x", b"b:81"), (b"http://[::1]:81/x", b"[::1]:81"), (b"/x", b"a")],
)
def test_the_name_in_the_target_is_the_one_that_counts(port: int, target: bytes, host: bytes) -> None:
    """Whatever the Host header says."""
    found = answer(port, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert found.endswith(b"\r\n\r\n" + host)


def test_trailers_are_no_headers(port: int) -> None:
    """A name that comes after the body changes nothing."""
    sent = (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil\r\n\r\n"
    )
    assert answer(port, sent).endswith(b"\r\n\r\na")
