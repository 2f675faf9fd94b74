"""Every fault of a host, held by a real keeper against a service that has everything a fault can want."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agent.conformance import (
    Scene,
    bare_scene,
    check_breaks_and_puts_back,
    check_end_without_begin,
    check_ends_when_killed,
)
from agent.instance import Instance
from agent.registry import host_faults
from tests.agent.databases import postgresql, redis
from tests.agent.proxied import proxy_to

# What the suite of all parts tries by itself, and what needs more than a service: a supervisor, a library.
ELSEWHERE = ("kill", "hang", "cpu", "memory", "crash_loop", "clock_skew", "dns")
FAULTS = sorted(name for name in host_faults() if name not in ELSEWHERE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A service with callers, a proxy, databases, a folder and commands."""
    with ExitStack() as stack:
        bare = bare_scene()
        found = next(bare)
        stack.callback(lambda: next(bare, None))
        port = found.instance().port
        (listen,) = stack.enter_context(proxy_to(port))
        folder = tmp_path_factory.mktemp("folder")
        flag = folder / "flag"
        settings = {
            "redis_url": stack.enter_context(redis()),
            "postgresql_url": stack.enter_context(postgresql(tmp_path_factory.mktemp("postgresql"))),
            "postgresql_tables": "loans",
            "fill_folder": str(folder),
            "read_only_folder": str(tmp_path_factory.mktemp("read-only")),
            "slow_folder": str(folder),
            "command.flag.do": f"touch {flag}",
            "command.flag.undo": f"rm -f {flag}",
            "command.flag.check": f"test -e {flag}",
            "dependencies": f"store=127.0.0.1:{listen}",
            "tls": "yes",
        }

        def instance() -> Instance:
            now = found.instance()
            return Instance(
                service="desk", pids=now.pids, born=now.born, proxy_port=listen, settings=settings, finder=now.finder
            )

        over = threading.Event()

        def call() -> None:
            while not over.wait(0.05):
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{listen}/", timeout=2.0):
                    pass

        callers = [threading.Thread(target=call, daemon=True) for _ in range(2)]
        for caller in callers:
            caller.start()
        stack.callback(lambda: [caller.join() for caller in callers])
        stack.callback(over.set)
        arguments = {
            "disk_full": {"mb": 50.0},
            "bandwidth": {"kilobytes_per_second": 2.0},
            "http_errors": {"percent": 100.0},
        }
        yield Scene(instance=instance, is_well=found.is_well, arguments=arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_it_breaks_and_leaves_everything_as_it_was(name: str, scene: Scene, tmp_path: Path) -> None:
    check_breaks_and_puts_back(host_faults()[name], scene, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_its_end_alone_changes_nothing(name: str, scene: Scene, tmp_path: Path) -> None:
    check_end_without_begin(host_faults()[name], scene, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_it_ends_when_it_is_killed(number: int, scene: Scene, tmp_path: Path) -> None:
    """Each fault at another moment, from before its first line to when it holds."""
    check_ends_when_killed(host_faults()[FAULTS[number]], scene, tmp_path, 0.6 * number / len(FAULTS))
