"""What is done to the library: faults whose cause is known, and harmless changes. Each reverts itself."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from chaos.foreign.system import NODE_SERVICES, Library
from chaos.foreign.users import Users
from watchkeeper.vocabulary import Mechanism

Do = Callable[[Library, Users], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFault:
    """One fault: its kind, which names are a right answer, the mechanism, how it is done.

    `pages` is false where users feel nothing: a ticket is then the right answer.
    """

    kind: str
    culprits: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    do: Do
    pages: bool = True


@contextmanager
def _trouble(library: Library, service: str, **state: float) -> Iterator[None]:
    library.trouble(service, **state)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it may have died of it
            library.trouble(service, **dict.fromkeys(state, 0.0))


def _inside(service: str, **state: float) -> Do:
    return lambda library, _: _trouble(library, service, **state)


def _deploy(service: str, broken: float) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        library.deploy(service, "1.5.0", BROKEN_SHARE=str(broken))
        try:
            yield
        finally:
            library.deploy(service, "1.5.1")

    return do


def _hang(service: str) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        pid = library.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return do


def _crash(service: str) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        library.kill(service, stay_down=True)
        try:
            yield
        finally:
            library.start(service)

    return do


def _crash_loop(service: str, every_s: float) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        over = threading.Event()

        def again() -> None:
            while not over.wait(every_s):
                library.kill(service, stay_down=False)

        thread = threading.Thread(target=again, name="crash loop", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return do


def _slow_paths(callee: str, delay_s: float) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        for path in library.paths_to(callee):
            path.delay_s = delay_s
        try:
            yield
        finally:
            for path in library.paths_to(callee):
                library.repair(path)

    return do


def _cut(caller: str, callee: str) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        path = library.path(caller, callee)
        library.cut(path)
        try:
            yield
        finally:
            library.repair(path)

    return do


_END_LOCKS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
)


def _locked(table: str, seconds: float = 120.0) -> Do:
    @contextmanager
    def do(library: Library, _: Users) -> Iterator[None]:
        session = library.lock_table(table, seconds)
        try:
            yield
        finally:
            library.query(_END_LOCKS)
            session.wait(10)

    return do


@contextmanager
def _full_store(library: Library, _: Users) -> Iterator[None]:
    """Redis has reached its limit of memory, and rejects writes."""
    library.redis("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        library.redis("CONFIG", "SET", "maxmemory", "0")


FAULTS: Final = (
    ForeignFault(
        kind="errors before routing",
        culprits=("catalogue",),
        mechanisms=("errors",),
        do=_inside("catalogue", fail_before=0.5),
    ),
    ForeignFault(
        kind="silent bad deploy",
        culprits=("lending",),
        mechanisms=("deploy", "errors"),
        do=_deploy("lending", 0.6),
    ),
    ForeignFault(kind="hang", culprits=("readers",), mechanisms=("hung",), do=_hang("readers")),
    ForeignFault(
        kind="slow shared store",
        culprits=("redis",),
        mechanisms=("latency", "network", "database"),
        do=_slow_paths("redis", 0.15),
    ),
    ForeignFault(kind="crash", culprits=("catalogue",), mechanisms=("killed",), do=_crash("catalogue")),
    ForeignFault(
        kind="stalled caller",
        culprits=("desk",),
        mechanisms=("cpu", "latency"),
        do=_inside("desk", busy_share=0.85),
    ),
    ForeignFault(kind="latency", culprits=("lending",), mechanisms=("latency",), do=_inside("lending", slow_ms=700)),
    ForeignFault(kind="full store", culprits=("redis",), mechanisms=("errors", "database", "memory"), do=_full_store),
    ForeignFault(
        kind="slow database",
        culprits=("postgresql",),
        mechanisms=("latency", "network", "database"),
        do=_slow_paths("postgresql", 0.12),
    ),
    ForeignFault(
        kind="locked table",
        culprits=("postgresql", "lending"),
        mechanisms=("database", "latency"),
        do=_locked("loans"),
    ),
    ForeignFault(
        kind="partition",
        culprits=("lending", "desk"),
        mechanisms=("network", "killed"),
        do=_cut("desk", "lending"),
    ),
    ForeignFault(
        kind="memory leak",
        culprits=("readers",),
        mechanisms=("memory", "killed"),
        do=_inside("readers", leak_kb=2000),
    ),
    ForeignFault(kind="crash loop", culprits=("lending",), mechanisms=("killed",), do=_crash_loop("lending", 4.0)),
    ForeignFault(
        kind="tolerated errors",
        culprits=("recommend",),
        mechanisms=("errors",),
        do=_inside("recommend", fail_before=0.6),
        pages=False,
    ),
)


@contextmanager
def _load_wave(_: Library, users: Users) -> Iterator[None]:
    usual, users.rate = users.rate, users.rate * 2.0
    try:
        yield
    finally:
        users.rate = usual


@contextmanager
def _scan(_: Library, users: Users) -> Iterator[None]:
    users.scan = 0.4
    try:
        yield
    finally:
        users.scan = 0.0


@contextmanager
def _good_deploy(library: Library, _: Users) -> Iterator[None]:
    for service in NODE_SERVICES[:2]:
        library.deploy(service, "1.6.0")
    yield


@contextmanager
def _cold_cache(library: Library, _: Users) -> Iterator[None]:
    library.redis("FLUSHALL")
    yield


HARMLESS: Final[dict[str, Do]] = {
    "load wave": _load_wave,
    "harmless deploy": _good_deploy,
    "scanner that finds nothing": _scan,
    "cold cache": _cold_cache,
}
