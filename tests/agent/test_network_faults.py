"""Faults of the network path, through the proxy: what callers see while they hold, and after."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from agent.faults.bandwidth import Bandwidth
from agent.faults.certificate_expired import CertificateExpired
from agent.faults.http_errors import HttpErrors
from agent.faults.jitter import Jitter
from agent.faults.latency import Latency
from agent.faults.loss import Loss
from agent.faults.partition import Partition
from agent.faults.reset import Reset
from agent.instance import Instance
from tests.agent.proxied import echo_service, http_service, proxy_to, tls_service
from tests.agent.trials import effect_of, instance_of, trial
from tests.waiting import until
from watchkeeper.errors import AgentError


class Caller:
    """A caller that keeps its connection as long as it can."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)

    def get(self, path: str = "/titles") -> int:
        """The answer's status; 0: the connection broke."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            assert answer.read() == path.encode() or answer.status != 200
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return answer.status

    def post(self, body: bytes, *, chunked: bool = False) -> tuple[int, bytes]:
        if chunked:
            pieces = iter([body[:7], body[7:]])
            headers = {"Transfer-Encoding": "chunked"}
            self._connection.request("POST", "/loans", body=pieces, headers=headers, encode_chunked=True)
        else:
            self._connection.request("POST", "/loans", body=body)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def seconds(self) -> float:
        began = time.monotonic()
        assert self.get() == 200
        return time.monotonic() - began

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with http_service() as port, proxy_to(port) as (listen,):
        # No port, no process: then only the proxy can do it.
        yield instance_of("desk", proxy_port=listen)


@pytest.fixture
def caller(instance: Instance) -> Iterator[Caller]:
    made = Caller(instance.proxy_port)
    assert made.get() == 200  # on a connection from before the fault
    with contextlib.closing(made):
        yield made


def test_latency_delays_each_request_once(instance: Instance, caller: Caller) -> None:
    """By what was asked for at least, and only while it holds."""
    fault = Latency()
    with trial(fault, instance, delay_ms=700.0) as record:
        assert caller.seconds() >= 0.7
        assert "late" in effect_of(fault, record)
    assert min(caller.seconds() for _ in range(5)) < 0.7


def test_jitter_delays_each_request_by_another_time(instance: Instance, caller: Caller) -> None:
    fault = Jitter()
    with trial(fault, instance, jitter_ms=400.0) as record:
        times = [caller.seconds() for _ in range(12)]
        assert max(times) - min(times) > 0.1
        assert effect_of(fault, record)


def test_loss_makes_requests_stall(instance: Instance, caller: Caller) -> None:
    """Every packet is lost at first: what TCP does then takes 12 s, and ends with the fault."""
    fault = Loss()
    with trial(fault, instance, seconds=1.5, percent=100.0) as record:
        assert record["by"] == "proxy"
        assert caller.seconds() >= 1.0
        assert record.get("until") <= time.time()


def test_a_share_of_the_connections_is_reset(instance: Instance, caller: Caller) -> None:
    """Whoever asks sees it soon, and after the end nobody does."""
    fault = Reset()
    with trial(fault, instance, percent=50.0) as record:
        until(lambda: caller.get() == 0, what="a reset")
        until(lambda: caller.get() == 200, what="a request that is spared")
        assert "reset" in effect_of(fault, record)
    assert [caller.get() for _ in range(20)] == [200] * 20


def test_bandwidth_lets_bytes_wait(instance: Instance, caller: Caller) -> None:
    """20 kB at 20 kB/s take a second there, and another one back."""
    fault = Bandwidth()
    body = b"b" * 20_000
    with trial(fault, instance, kilobytes_per_second=20.0) as record:
        began = time.monotonic()
        assert caller.post(body) == (200, body)
        assert time.monotonic() - began > 1.8
        assert effect_of(fault, record)


def test_a_refused_port_refuses_old_and_new_connections(instance: Instance, caller: Caller) -> None:
    fault = Partition()
    with trial(fault, instance, how="reject") as record:
        assert [caller.get(), caller.get()] == [0, 0]
        assert "refused" in effect_of(fault, record)
    assert caller.get() == 200


def test_a_dropped_port_hangs_and_goes_on_where_it_was(instance: Instance, caller: Caller) -> None:
    """A request that was sent into the partition is answered after it; nothing is lost, nothing comes twice."""
    fault = Partition()
    with trial(fault, instance, seconds=1.5, how="drop") as record:
        assert "hang" in effect_of(fault, record)
        began = time.time()
        assert caller.get("/into-the-partition") == 200
        assert time.time() >= record["until"] - 0.5
        assert began < record["until"]


def test_a_share_of_the_requests_to_a_path_is_answered_with_an_error(instance: Instance, caller: Caller) -> None:
    """Others pass, also on the same connection, and so do bodies of every kind before and after."""
    fault = HttpErrors()
    with trial(fault, instance, percent=100.0, status=500.0, path="/titles") as record:
        assert [caller.get("/titles/1"), caller.get("/loans"), caller.get("/titles/2")] == [500, 200, 500]
        assert caller.post(b"x" * 100_000) == (200, b"x" * 100_000)
        assert caller.post(b"y" * 100_000, chunked=True) == (200, b"y" * 100_000)
        assert caller.get("/titles/3") == 500
        assert "answered in its place" in effect_of(fault, record)
    assert caller.get("/titles/4") == 200


def test_a_failing_request_with_a_body_leaves_the_connection_usable(instance: Instance, caller: Caller) -> None:
    """The body is read and thrown away: the next request is the next one."""
    with trial(HttpErrors(), instance, percent=100.0, path="/loans"):
        assert caller.post(b"z" * 50_000)[0] == 503
        assert caller.post(b"z" * 50_000, chunked=True)[0] == 503
        assert caller.get("/titles") == 200


def test_what_is_no_http_passes_untouched() -> None:
    """Bytes of another protocol come through a rule about requests as they are."""
    with (
        echo_service() as port,
        proxy_to(port) as (listen,),
        trial(HttpErrors(), instance_of("store", proxy_port=listen), percent=100.0),
        socket.create_connection(("127.0.0.1", listen), 30.0) as connection,
    ):
        for part in (b"*1\r\n$4\r\nPING\r\n", bytes(range(256)) * 300):
            connection.sendall(part)
            back = b""
            while len(back) < len(part):
                back += connection.recv(65536)
            assert back == part


def test_an_expired_certificate_is_refused_by_who_looks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A caller that checks sees the expiry; one that does not is served; after the end the right one is back."""
    with tls_service(tmp_path_factory.mktemp("tls")) as (port, trusted), proxy_to(port) as (listen,):
        instance = instance_of("bank", proxy_port=listen, settings={"tls": "yes"})

        def seen(context: ssl.SSLContext) -> str:
            try:
                with (
                    socket.create_connection(("127.0.0.1", listen), 30.0) as plain,
                    context.wrap_socket(plain, server_hostname="localhost") as tls,
                ):
                    tls.sendall(b"GET /balance HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return tls.recv(15).decode()
            except ssl.SSLCertVerificationError as error:
                return error.verify_message

        checks = ssl.create_default_context(cafile=str(trusted))
        trusts = ssl.create_default_context()
        trusts.check_hostname, trusts.verify_mode = False, ssl.CERT_NONE
        assert seen(checks) == "HTTP/1.1 200 OK"
        fault = CertificateExpired()
        with trial(fault, instance) as record:
            assert "certificate" in seen(checks)
            assert seen(trusts) == "HTTP/1.1 200 OK"
            assert "certificate has expired" in effect_of(fault, record)
        assert seen(checks) == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("fault", "arguments", "said"),
    [
        (Latency(), {"delay_ms": 0.0}, "delay_ms must be a number from 1 to 60000, not 0.0"),
        (Loss(), {"percent": 101.0}, "percent must be a number from 1 to 100, not 101.0"),
        (Partition(), {"how": "slowly"}, "how must be one of drop, reject, not 'slowly'"),
        (HttpErrors(), {"path": "titles"}, "path must begin with /, not 'titles'"),
        (HttpErrors(), {"status": 200.0}, "status must be a number from 400 to 599, not 200.0"),
        (Bandwidth(), {"kilobytes_per_second": "fast"}, "kilobytes_per_second must be a number"),
    ],
)
def test_a_bad_argument_is_refused_in_one_sentence(
    instance: Instance, fault: Latency, arguments: dict[str, float | str], said: str
) -> None:
    with pytest.raises(AgentError) as refused:
        fault.plan(instance, 60.0, {**fault.arguments, **arguments})
    assert said in refused.value.message


def test_without_a_proxy_it_is_said_how_to_have_one() -> None:
    assert "set `proxy` in the agent's file" in Latency().lacks(instance_of("desk"))
    assert "does not run" in Latency().lacks(instance_of("desk", proxy_port=1))
