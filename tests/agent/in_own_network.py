"""Faults by the packet filter, tried in a network namespace: `unshare -n python -m tests.agent.in_own_network NAME`.

A process of its own, so that no rule can reach anybody else. Ends with status 0 where everything was as it should be.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent.faults import packet_filter
from agent.faults.dependency_down import DependencyDown
from agent.faults.dns import Dns
from agent.faults.loss import Loss
from agent.faults.partition import Partition
from agent.holders.marked import new_mark
from tests.agent.proxied import http_service
from tests.agent.trials import effect_of, instance_of, plan, trial
from tests.waiting import until

OTHER_USER = 65534  # nobody


def connects(port: int, within_s: float = 1.0) -> str:
    """How an attempt to connect ends."""
    try:
        with socket.create_connection(("127.0.0.1", port), within_s):
            return "connected"
    except OSError as error:
        return type(error).__name__


@contextmanager
def other_process() -> Iterator[int]:
    """A process of another user; its id."""
    process = subprocess.Popen(["sleep", "600"], user=OTHER_USER)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def is_clean() -> bool:
    return "watchkeeper" not in packet_filter._nft("list ruleset")


def partition() -> None:
    """New and old connections, refused and dropped; then everything is as before."""
    with http_service() as port:
        instance = instance_of("desk", os.getpid(), port=port)
        with socket.create_connection(("127.0.0.1", port)) as old:
            fault = Partition()
            with trial(fault, instance, how="reject") as record:
                assert record["by"] == "filter"
                assert connects(port) == "ConnectionRefusedError"
                assert "were stopped" in effect_of(fault, record)
            with trial(fault, instance, how="drop"):
                assert connects(port) == "TimeoutError"
                old.sendall(b"GET /into HTTP/1.1\r\nHost: desk\r\n\r\n")
                old.settimeout(0.5)
                with suppress(TimeoutError):
                    assert not old.recv(1), "the partition let something through"
            assert connects(port) == "connected"
            old.settimeout(60.0)
            assert old.recv(15) == b"HTTP/1.1 200 OK"  # it was sent again by the kernel


def deadline() -> None:
    """Nobody ends it: the kernel does, within a second of its time, and what is left is an empty rule."""
    with http_service() as port:
        record = plan(Partition(), instance_of("desk", os.getpid(), port=port), seconds=2.0, how="reject")
        Partition().begin(record)
        assert connects(port) == "ConnectionRefusedError"
        until(lambda: connects(port) == "connected", what="the kernel's deadline")
        assert time.time() > record["until"] - 1.0
        assert Partition().remains(record) != ()
        Partition().end(record)
        assert Partition().remains(record) == ()


def loss() -> None:
    """A half of the packets is lost, and everything still arrives."""
    with http_service() as port:
        fault = Loss()
        with trial(fault, instance_of("desk", os.getpid(), port=port), percent=50.0) as record:
            assert record["by"] == "filter"

            def lost() -> str:
                connects(port, 0.5)
                return fault.effect(record)

            assert "were lost" in until(lost, what="a lost packet")
        assert connects(port) == "connected"


def dns() -> None:
    """One name of one user: others, and other names, still resolve."""
    question = "payments.shop-of-a-long-name.example.com"
    answered: list[bytes] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer() -> None:
        while True:
            data, sender = server.recvfrom(512)
            answered.append(data)
            # The question again, and one address: 10.1.2.3.
            header = data[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
            end = data.index(b"\0", 12) + 5
            server.sendto(header + data[12:end] + b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03", sender)

    threading.Thread(target=answer, daemon=True).start()
    with other_process() as pid:
        fault = Dns()
        settings = {"dns_names": f"other.example.com, {question}"}
        with trial(fault, instance_of("desk", pid, settings=settings), name=question) as record:
            assert "not let out" in effect_of(fault, record)
            assert resolves("other.example.com", OTHER_USER)
            assert resolves(question, 0)
            assert not resolves(question, OTHER_USER)
        assert resolves(question, OTHER_USER)
    assert answered


def resolves(name: str, user: int) -> bool:
    asked = b"".join(bytes([len(part)]) + part for part in name.encode().split(b"."))
    with packet_filter.as_user(user), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(30.0)
        try:
            asking.sendto(b"\0\7\1\0\0\1\0\0\0\0\0\0" + asked + b"\0\0\1\0\1", ("127.0.0.1", 53))
        except PermissionError:
            return False
        return asking.recv(512).endswith(b"\x0a\1\2\3")


def dependency() -> None:
    """The service's user does not reach it; others do."""
    with http_service() as port, other_process() as pid:
        fault = DependencyDown()
        instance = instance_of("desk", pid, settings={"dependencies": f"store=127.0.0.1:{port}"})
        with trial(fault, instance) as record:
            assert record["by"] == "filter"
            assert connects(port) == "connected"
            with packet_filter.as_user(OTHER_USER):
                assert connects(port) == "ConnectionRefusedError"
            assert "packets to store were stopped" in effect_of(fault, record)
        with packet_filter.as_user(OTHER_USER):
            assert connects(port) == "connected"


def twice() -> None:
    """An end after a begin that never came, and two of them."""
    mark = new_mark()
    packet_filter.remove(mark)
    packet_filter.add(mark, 80, 30.0, "input", ["tcp dport @ports counter drop"])
    packet_filter.remove(mark)
    packet_filter.remove(mark)


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    globals()[sys.argv[1]]()
    assert is_clean()
