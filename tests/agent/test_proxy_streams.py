"""What passes through the proxy passes as it is: ends, resets, and the sender's having to wait."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.proxy.control import ask
from tests.agent.proxied import echo_service, proxy_to
from tests.waiting import until

MB = 1 << 20


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket, int]]:
    """A caller's connection, the service's end of it, and the proxy's port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        proxy_to(server.getsockname()[1]) as (listen,),
        socket.create_connection(("127.0.0.1", listen), 60.0) as caller,
    ):
        service, _ = server.accept()
        service.settimeout(60.0)
        with service:
            yield caller, service, listen


def test_a_half_closed_connection_stays_half_open() -> None:
    """The caller has sent all; the service answers after it saw that, and then the caller sees the end."""
    with pair() as (caller, service, listen):
        caller.sendall(b"all of it")
        caller.shutdown(socket.SHUT_WR)
        assert service.recv(100) == b"all of it"
        assert service.recv(100) == b""
        service.sendall(b"the answer")
        service.shutdown(socket.SHUT_WR)
        assert caller.recv(100) == b"the answer"
        assert caller.recv(100) == b""
        until(lambda: (ask(listen, {"do": "state"}) or {})["connections"] == 0, what="the end of the connection")


def test_a_reset_of_the_service_is_a_reset_for_the_caller() -> None:
    with pair() as (caller, service, _):
        caller.sendall(b"x")
        assert service.recv(1) == b"x"
        service.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        service.close()
        with contextlib.suppress(ConnectionResetError):
            assert caller.recv(1) != b"", "the caller saw an orderly end"


def test_whoever_sends_too_fast_has_to_wait() -> None:
    """The service reads nothing: the caller gets rid of a few megabytes, and the proxy keeps none of the rest."""
    with pair() as (caller, service, listen):
        caller.settimeout(2.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 * MB:
                sent += caller.send(b"b" * MB)
        assert sent < 60 * MB
        assert resident(listen) < 60 * MB
        caller.settimeout(60.0)
        received = 0
        while received < sent:
            received += len(service.recv(MB))
        assert received == sent


def test_a_partition_keeps_no_more_than_its_bound() -> None:
    """Bytes that are held back wait at their sender, too, and arrive in order when it is over."""
    with (
        echo_service() as port,
        proxy_to(port) as (listen,),
        socket.create_connection(("127.0.0.1", listen), 60.0) as caller,
    ):
        caller.sendall(b"0")
        assert caller.recv(1) == b"0"
        ask(listen, {"do": "set", "rule": {"id": "one", "kind": "drop", "seconds": 600.0}})
        body = b"".join(struct.pack("I", number) for number in range(MB))
        sender = threading.Thread(target=caller.sendall, args=(body,))
        sender.start()
        sender.join(1.0)
        assert resident(listen) < 60 * MB
        ask(listen, {"do": "clear", "id": "one"})
        back = bytearray()
        while len(back) < len(body):
            back += caller.recv(MB)
        sender.join()
        assert back == body


def resident(listen: int) -> int:
    """Bytes of memory of the proxy of a port."""
    pid = (ask(listen, {"do": "state"}) or {})["pid"]
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
