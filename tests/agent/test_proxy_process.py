"""The proxy as a process: who starts it, what it outlives, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pytest

from agent.faults.packet_filter import as_user
from agent.proxy.control import ask, reached_at
from agent.proxy.listener import Route
from agent.proxy.running import end, ensure, ports
from tests.agent.proxied import echo_service, http_service, proxy_to
from tests.waiting import until
from watchkeeper.errors import AgentError
from watchkeeper.ports import free_port


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60.0) as answer:
        return bool(answer.status == 200)
    return False


def rule(**changes: object) -> dict[str, object]:
    return {"do": "set", "rule": {"id": "one", "kind": "reject", "seconds": 600.0, **changes}}


def pid_of(port: int) -> int:
    state = ask(port, {"do": "state"})
    assert state is not None
    return int(state["pid"])


def test_it_outlives_whoever_started_it() -> None:
    """Kill -9 of the starter, and of its whole process group."""
    with http_service() as port:
        listen = free_port()
        code = (
            "import os, time; from agent.proxy.listener import Route; from agent.proxy.running import ensure; "
            f"print(ensure([Route(listen={listen}, to={port})]), flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as starter:
            assert starter.stdout is not None
            assert starter.stdout.readline() == b"{}\n"
            os.killpg(starter.pid, signal.SIGKILL)
        assert answers(listen)
        end([listen])
        until(lambda: listen not in ports(), what="the end of the route")


def test_a_proxy_that_was_killed_is_started_again_without_its_rule() -> None:
    with http_service() as port, proxy_to(port) as (listen,):
        ask(listen, rule())
        assert not answers(listen)
        os.kill(pid_of(listen), signal.SIGKILL)
        until(lambda: listen not in ports(), what="its death")
        assert ensure([Route(listen=listen, to=port)]) == {}
        assert answers(listen)


def test_a_proxy_that_runs_goes_on_with_its_connections() -> None:
    """Whatever is ensured: a further route, the same one, or another place where it leads."""
    with (
        echo_service() as port,
        http_service() as other,
        proxy_to(port) as (listen,),
        socket.create_connection(("127.0.0.1", listen), 60.0) as connection,
    ):
        further = Route(listen=free_port(), to=other)
        pid = pid_of(listen)
        assert ensure([Route(listen=listen, to=port), further]) == {}
        assert pid_of(listen) == pid_of(further.listen) == pid
        assert answers(further.listen)
        assert ensure([Route(listen=listen, to=other), further]) == {}
        assert answers(listen)
        connection.sendall(b"still here")
        assert connection.recv(10) == b"still here"
        end([further.listen])
        assert not answers(further.listen)


def test_it_moves_to_another_address() -> None:
    """Without a restart: for callers of other hosts, and back."""
    with http_service() as port, proxy_to(port) as (listen,):
        for host, is_there in (("127.0.0.2", False), ("0.0.0.0", True), ("127.0.0.1", True)):
            assert ensure([Route(listen=listen, to=port, listen_host=host)]) == {}
            assert answers(listen) == is_there
            assert reached_at(listen) == ("127.0.0.2" if host == "127.0.0.2" else "127.0.0.1")


def test_a_port_that_is_taken_is_named_and_the_others_are_served() -> None:
    with http_service() as port, socket.create_server(("127.0.0.1", 0)) as taken:
        routes = [Route(listen=taken.getsockname()[1], to=port), Route(listen=free_port(), to=port)]
        for _ in range(2):
            assert list(ensure(routes)) == [routes[0].listen]
            assert "cannot listen" in ensure(routes)[routes[0].listen]
        assert answers(routes[1].listen)
        end([routes[1].listen])


def test_a_rule_ends_by_the_proxys_own_clock() -> None:
    """Nobody ends it."""
    with http_service() as port, proxy_to(port) as (listen,):
        ask(listen, rule(seconds=0.5))
        until(lambda: answers(listen), what="the end of the rule")


def test_a_second_rule_is_refused_and_a_strangers_end_ends_nothing() -> None:
    with http_service() as port, proxy_to(port) as (listen,):
        ask(listen, rule())
        ask(listen, rule())  # the same one again
        with pytest.raises(AgentError, match=f"port {listen} is disturbed already: reject"):
            ask(listen, rule(id="two"))
        ask(listen, {"do": "clear", "id": "two"})
        assert not answers(listen)
        ask(listen, {"do": "clear", "id": "one"})
        assert answers(listen)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (rule(kind="explode"), "the proxy has no rule 'explode'"),
        (rule(seconds=-1.0), "seconds must be a number from 0 to 86400, not -1.0"),
        (rule(seconds="long"), "not 'long'"),
        (rule(kind="loss"), "percent must be a number from 0 to 100, not None"),
        (rule(kind="certificate", pem="no key"), "certificate cannot be used"),
        ({"do": "dance"}, "the proxy cannot 'dance'"),
        ({"do": "set"}, "does not understand"),
        ({"do": "open", "route": {"listen": 1}}, "does not understand"),
    ],
)
def test_what_it_does_not_understand_is_one_sentence(question: dict[str, object], said: str) -> None:
    with http_service() as port, proxy_to(port) as (listen,):
        with pytest.raises(AgentError) as refused:
            ask(listen, question)
        assert said in refused.value.message
        assert "\n" not in refused.value.message
        assert answers(listen)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_may_ask_nothing() -> None:
    with http_service() as port, proxy_to(port) as (listen,):
        with as_user(65534), suppress(AgentError):
            assert ask(listen, rule()) is None
        assert answers(listen)


def test_garbage_on_the_control_socket_hurts_nobody() -> None:
    with http_service() as port, proxy_to(port) as (listen,):
        for garbage in (b"\n", b"{}\n", b"[1]\n", b"\xff" * 200_000, b'{"do": "state"}'):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(f"\0watchkeeper-proxy-{listen}")
                with suppress(OSError):
                    connection.sendall(garbage)
        assert answers(listen)
        assert json.dumps(ask(listen, {"do": "state"}))
